#if os(Linux)
import Etalase
import Foundation
import XCTest

/// Opening and closing leaves nothing behind. ETALASE_OPENS says how many times, by default 10,000.
final class MemoryTests: XCTestCase {
    func testMemoryDoesNotGrow() throws {
        let opens = try Setup.number("ETALASE_OPENS", default: 10_000)
        let bundle = try Setup.bundle()
        var before = 0
        for open in 0..<opens {
            // The first ones fill the allocator's lists.
            if open == opens / 10 { before = try residentKiB() }
            try Classifier(contentsOf: bundle).close()
        }
        let growth = try residentKiB() - before
        print("memory: \(growth) KiB more after \(opens) classifiers")
        // Two classifiers' memory; a leak of one in a hundred would be far beyond.
        XCTAssertLessThan(growth, 16 * 1024)
    }
}
#endif
