import Etalase
import Foundation
import XCTest

/// One classifier and many threads.
final class ThreadsTests: XCTestCase {
    func testEightThreadsShareOneClassifier() throws {
        let classifier = try Setup.classifier()
        let photo = try Setup.photo()
        let expected = try classifier.classifyBlocking(photo).scores
        let right = Collected<Bool>()
        onThreads(8) { _ in
            for _ in 0..<20 {
                right.add((try? classifier.classifyBlocking(photo))?.scores == expected)
            }
        }
        XCTAssertEqual(right.all, Array(repeating: true, count: 160))
    }

    func testTasksShareOneClassifier() async throws {
        let classifier = try Setup.classifier()
        let photo = try Setup.photo()
        let expected = try classifier.classifyBlocking(photo).scores
        let scores = try await withThrowingTaskGroup(of: [Float].self) { group in
            for _ in 0..<32 {
                group.addTask { try await classifier.classify(photo).scores }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        XCTAssertEqual(scores, Array(repeating: expected, count: 32))
    }

    /// Each call gives an answer or the kind `closed`, and memory tells that each classifier is freed.
    func testClosingWhileOthersClassify() throws {
        let photo = try Setup.photo()
        let expected = try Setup.classifier().classifyBlocking(photo).scores
        let rounds = 60
        let answers = Collected<Bool>()
        let errors = Collected<EtalaseError.Kind>()
        var before = 0
        for round in 0..<rounds {
            #if os(Linux)
            if round == rounds / 3 { before = try residentKiB() }
            #endif
            let classifier = try Setup.classifier()
            onThreads(4) { index in
                if index == 0 {
                    Thread.sleep(forTimeInterval: 0.001 * Double(round % 20))
                    classifier.close()
                    return
                }
                while true {
                    do throws(EtalaseError) {
                        let answer = try classifier.classifyBlocking(photo)
                        answers.add(answer.scores == expected)
                    } catch {
                        return errors.add(error.kind)
                    }
                }
            }
        }
        XCTAssertEqual(errors.all, Array(repeating: .closed, count: 3 * rounds))
        XCTAssertFalse(answers.all.contains(false))
        XCTAssertGreaterThan(answers.all.count, rounds)
        #if os(Linux)
        let growth = try residentKiB() - before
        print("closing while classifying: \(answers.all.count) answers, \(growth) KiB more")
        // A leaked classifier holds megabytes; threads' own heaps are some.
        XCTAssertLessThan(growth, 32 * 1024)
        #endif
    }
}
