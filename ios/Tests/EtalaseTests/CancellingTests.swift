import Etalase
import Foundation
import XCTest

/// Work that nobody wants any more ends.
final class CancellingTests: XCTestCase {
    func testACancelledTaskEndsWithinOneRun() async throws {
        let classifier = try Setup.classifier()
        let photo = try Setup.photo()
        let oneMs = try (0..<5).map { _ in try milliseconds { _ = try classifier.classifyBlocking(photo) } }.max() ?? 0
        var longestMs = 0.0
        for round in 0..<20 {
            let task = Task { () -> EtalaseError.Kind? in
                while true {
                    if let kind = await failure(classifier, photo) { return kind }
                }
            }
            try await Task.sleep(nanoseconds: UInt64(5_000_000 + 700_000 * round))
            let start = DispatchTime.now().uptimeNanoseconds
            task.cancel()
            let kind = await task.value
            XCTAssertEqual(kind, .cancelled)
            longestMs = max(longestMs, Double(DispatchTime.now().uptimeNanoseconds - start) / 1e6)
        }
        print("cancelling: at most \(longestMs) ms, where one call takes \(oneMs) ms")
        // A busy machine may let the thread wait.
        XCTAssertLessThan(longestMs, oneMs + 100)
    }

    func testATaskThatIsCancelledAlready() async throws {
        let classifier = try Setup.classifier()
        let photo = try Setup.photo()
        let task = Task { () -> EtalaseError.Kind? in
            withUnsafeCurrentTask { $0?.cancel() }
            return await failure(classifier, photo)
        }
        let kind = await task.value
        XCTAssertEqual(kind, .cancelled)
    }

    /// One whose call has not begun does not wait for the calls before it.
    func testACallThatWaitsForAThread() async throws {
        let classifier = try Setup.classifier()
        let photo = try Setup.photo()
        let answers = Collected<Bool>()
        let many = (0..<400).map { _ in
            Task { if await failure(classifier, photo) == nil { answers.add(true) } }
        }
        // All are queued before it.
        try await Task.sleep(nanoseconds: 100_000_000)
        let last = Task { await failure(classifier, photo) }
        try await Task.sleep(nanoseconds: 20_000_000)
        last.cancel()
        let kind = await last.value
        XCTAssertEqual(kind, .cancelled)
        XCTAssertLessThan(answers.all.count, 350)
        for task in many { task.cancel() }
        for task in many { await task.value }
    }

    func testFlags() throws {
        let classifier = try Setup.classifier()
        let photo = try Setup.photo()
        let cancel = try Cancel()
        _ = try classifier.classifyBlocking(photo, cancel: cancel)
        let kinds = Collected<EtalaseError.Kind>()
        onThreads(3) { index in
            if index == 0 {
                Thread.sleep(forTimeInterval: 0.02)
                return cancel.cancel()
            }
            while true {
                do throws(EtalaseError) {
                    _ = try classifier.classifyBlocking(photo, cancel: cancel)
                } catch {
                    return kinds.add(error.kind)
                }
            }
        }
        XCTAssertEqual(kinds.all, [.cancelled, .cancelled])
    }
}

/// The kind of the error that a task gets; nil where it gets an answer.
private func failure(_ classifier: Classifier, _ photo: Photo) async -> EtalaseError.Kind? {
    do {
        _ = try await classifier.classify(photo)
        return nil
    } catch {
        return error.kind
    }
}
