// What the tests need from outside, by environment variables: ETALASE_CONFORMANCE, the folder of the conformance list, and
// ETALASE_BUNDLE, the default bundle's file. Where one is missing, tests fail.

import Etalase
import Foundation
import XCTest

struct Unusable: Error {
    let what: String

    init(_ what: String) {
        self.what = what
    }
}

enum Setup {
    static func conformance() throws -> URL { try url("ETALASE_CONFORMANCE") }

    static func bundle() throws -> URL { try url("ETALASE_BUNDLE") }

    static func classifier(threads: Int = 1) throws -> Classifier {
        try Classifier(contentsOf: bundle(), threads: threads)
    }

    static func photo() throws -> Photo {
        .encoded(try Data(contentsOf: conformance().appendingPathComponent("../data/sample.jpg")))
    }

    /// Pixels of no meaning, the same each time.
    static func noise(count: Int) -> Data {
        var state: UInt32 = 1
        return Data(
            (0..<count).map { _ in
                state = state &* 1_664_525 &+ 1_013_904_223
                return UInt8(state >> 24)
            }
        )
    }

    static func number(_ name: String, default number: Int) throws -> Int {
        guard let text = ProcessInfo.processInfo.environment[name] else { return number }
        guard let number = Int(text) else { throw Unusable("\(name) is no number: \(text)") }
        return number
    }

    private static func url(_ name: String) throws -> URL {
        guard let path = ProcessInfo.processInfo.environment[name] else { throw Unusable("\(name) is not set") }
        return URL(fileURLWithPath: path)
    }
}

/// The call throws an error of the kind, whose message contains the words.
func assertFails(
    _ kind: EtalaseError.Kind,
    _ words: String = "",
    line: UInt = #line,
    file: StaticString = #filePath,
    _ call: () throws -> Void
) {
    do {
        try call()
        XCTFail("no error", file: file, line: line)
    } catch let error as EtalaseError {
        XCTAssertEqual(error.kind, kind, "\(error)", file: file, line: line)
        // On Linux, no text contains the empty one.
        XCTAssertTrue(words.isEmpty || error.message.contains(words), "\(error)", file: file, line: line)
    } catch {
        XCTFail("\(error)", file: file, line: line)
    }
}

/// Runs `body` on threads of its own, all at once, and waits for them.
func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
    let group = DispatchGroup()
    for index in 0..<count {
        group.enter()
        Thread {
            body(index)
            group.leave()
        }.start()
    }
    group.wait()
}

/// What several threads add to.
final class Collected<Element: Sendable>: @unchecked Sendable {
    private let lock = NSLock()
    private var elements: [Element] = []

    func add(_ element: Element) {
        lock.withLock { elements.append(element) }
    }

    var all: [Element] { lock.withLock { elements } }
}

/// What `body` takes, milliseconds.
func milliseconds(_ body: () throws -> Void) rethrows -> Double {
    let start = DispatchTime.now().uptimeNanoseconds
    try body()
    return Double(DispatchTime.now().uptimeNanoseconds - start) / 1e6
}

#if os(Linux)
/// Memory that the process holds, what was freed and is kept for reuse included.
func residentKiB() throws -> Int {
    let words = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(separator: " ")
    guard words.count > 1, let pages = Int(words[1]) else { throw Unusable("/proc/self/statm") }
    return pages * sysconf(Int32(_SC_PAGESIZE)) / 1024
}
#endif
