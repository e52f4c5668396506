import Etalase
import Foundation
import XCTest

/// What looks unusual, and works.
final class UseTests: XCTestCase {
    func testTheAsynchronousFormSaysTheSame() async throws {
        let classifier = try Setup.classifier()
        let photo = try Setup.photo()
        let options = Options(topK: 3, minimumScore: 0.001, allow: ["t-shirt", "hat"], deny: ["hat"], declared: "hat")
        let answer = try await classifier.classify(photo, options: options)
        let blocking = try classifier.classifyBlocking(photo, options: options)
        XCTAssertEqual(answer.ranked, blocking.ranked)
        XCTAssertEqual(answer.scores, blocking.scores)
        XCTAssertEqual(answer.verdict, blocking.verdict)
        XCTAssertEqual(answer.ranked.map(\.label), ["t-shirt"])
        XCTAssertEqual(answer.isFamiliar, true)
        XCTAssertEqual(answer.best?.classIndex, classifier.classes.firstIndex(of: "t-shirt"))
        XCTAssertEqual(answer.verdict?.suggested, "t-shirt")
        XCTAssertEqual(answer.notes, [])
    }

    func testWaysToOpen() throws {
        let url = try Setup.bundle()
        let classes = try Setup.classifier().classes
        let data = Data(count: 7) + (try Data(contentsOf: url))
        XCTAssertEqual(try Classifier(path: url.path).classes, classes)
        XCTAssertEqual(try Classifier(contentsOf: url, threads: 2).classes, classes)
        XCTAssertEqual(try Classifier.bundled().classes, classes)
        // A slice, whose indices do not begin at 0.
        XCTAssertEqual(try Classifier(data: data[7...]).classes, classes)
    }

    func testBorrowedMemoryAndSlices() throws {
        let classifier = try Setup.classifier()
        let pixels = Setup.noise(count: 40 * 30 * 3)
        let expected = try classifier.classifyBlocking(.pixels(.rgb, width: 40, height: 30, data: pixels)).scores
        let slice = (Data(count: 5) + pixels + Data(count: 5))[5..<5 + pixels.count]
        XCTAssertEqual(try classifier.classifyBlocking(.pixels(.rgb, width: 40, height: 30, data: slice)).scores, expected)
        var bytes = [UInt8](pixels)
        try bytes.withUnsafeMutableBytes { bytes in
            let start = try XCTUnwrap(bytes.baseAddress)
            let borrowed = Data(bytesNoCopy: start, count: bytes.count, deallocator: .none)
            let photo = Photo.pixels(.rgb, width: 40, height: 30, data: borrowed)
            XCTAssertEqual(try classifier.classifyBlocking(photo).scores, expected)
        }
    }

    func testTurnsAndRegions() throws {
        let classifier = try Setup.classifier()
        let photo = Photo.pixels(.rgb, width: 40, height: 30, data: Setup.noise(count: 40 * 30 * 3))
        for orientation in Orientation.allCases {
            XCTAssertEqual(
                try classifier.classifyBlocking(photo.oriented(orientation)).scores,
                try classifier.classifyBlocking(photo.oriented(exif: orientation.rawValue)).scores
            )
        }
        let part = photo.region(x: 2, y: 3, width: 20, height: 30).oriented(.rotate90)
        let measures = try classifier.classifyBlocking(part).measures
        XCTAssertEqual([measures.widthPx, measures.heightPx], [20, 30])
    }

    func testAllowingNothing() throws {
        let answer = try Setup.classifier().classifyBlocking(Setup.photo(), options: Options(allow: []))
        XCTAssertNil(answer.best)
        XCTAssertEqual(answer.scores.count, 10)
    }
}
