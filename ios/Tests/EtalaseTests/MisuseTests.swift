import Etalase
import Foundation
import XCTest

/// What cannot be meant is an error with a type, never a crash.
final class MisuseTests: XCTestCase {
    private func scores(_ photo: Photo, _ options: Options = Options()) throws -> [Float] {
        try Setup.classifier().classifyBlocking(photo, options: options).scores
    }

    func testClosedClassifier() async throws {
        let classifier = try Setup.classifier()
        let photo = try Setup.photo()
        let answer = try classifier.classifyBlocking(photo)
        classifier.close()
        classifier.close()
        assertFails(.closed) { _ = try classifier.classifyBlocking(photo) }
        assertFails(.closed) { _ = try classifier.labels(in: "en") }
        assertFails(.closed) { _ = try classifier.label(of: 0, in: "en") }
        assertFails(.closed) { _ = try classifier.languages() }
        assertFails(.closed) { _ = try classifier.inspect() }
        assertFails(.closed) { _ = try classifier.listing(of: [answer]) }
        XCTAssertEqual(classifier.classes.count, 10)
        do {
            _ = try await classifier.classify(photo)
            XCTFail("no error")
        } catch {
            XCTAssertEqual(error.kind, .closed)
        }
    }

    func testEmptyData() {
        assertFails(.photo) { _ = try self.scores(.encoded(Data())) }
        assertFails(.bundle) { _ = try Classifier(data: Data()) }
        assertFails(.invalidArgument) { _ = try self.scores(.pixels(.rgb, width: 4, height: 4, data: Data())) }
    }

    func testNumbersThatDescribeNoPhoto() {
        let data = Setup.noise(count: 40 * 30 * 3)
        func fails(_ photo: Photo, line: UInt = #line) {
            assertFails(.invalidArgument, line: line) { _ = try self.scores(photo) }
        }
        fails(.pixels(.rgb, width: 40, height: 31, data: data))
        fails(.pixels(.rgb, width: 0, height: 30, data: data))
        fails(.pixels(.rgb, width: -40, height: 30, data: data))
        fails(.pixels(.rgb, width: 40, height: .min, data: data))
        fails(.pixels(.rgb, width: .max, height: .max, data: data))
        assertFails(.photoTooLarge) {
            _ = try self.scores(.pixels(.rgb, width: 1 << 31, height: 1 << 31, data: data))
        }
        fails(.pixels(.rgb, width: 40, height: 30, rowStride: -120, data: data))
        fails(.pixels(.rgb, width: 40, height: 30, rowStride: .max, data: data))
        fails(.nv12(width: 40, height: 30, rowStride: .min, data: data))
        fails(.nv21(width: 41, height: 30, data: data))
        fails(.i420(width: 60, height: 60, data: data))
        let far = Plane(data: data, rowStride: .max, pixelStride: .max)
        fails(.yuv420(width: 40, height: 30, y: far, u: far, v: far))
        let back = Plane(data: data, rowStride: 40, pixelStride: -1)
        fails(.yuv420(width: 40, height: 30, y: back, u: back, v: back))

        let photo = Photo.pixels(.rgb, width: 40, height: 30, data: data)
        fails(photo.region(x: 0, y: 0, width: 0, height: 0))
        fails(photo.region(x: -1, y: 0, width: 10, height: 10))
        fails(photo.region(x: 30, y: 0, width: 11, height: 10))
        fails(photo.region(x: .max, y: 0, width: .max, height: 10))
        fails(photo.region(x: 1 << 31, y: 0, width: 1 << 31, height: 10))
        fails(photo.oriented(exif: 9))
        fails(photo.oriented(exif: -1))
        fails(photo.oriented(exif: .max))
    }

    func testOptions() throws {
        let photo = try Setup.photo()
        func fails(_ words: String, line: UInt = #line, _ options: Options) {
            assertFails(.invalidArgument, words, line: line) { _ = try self.scores(photo, options) }
        }
        fails("t-shrt", Options(allow: ["t-shirt", "t-shrt"]))
        fails("gloves", Options(deny: ["gloves"]))
        fails("T-shirt", Options(declared: "T-shirt"))
        fails("declared", Options(declared: ""))
        fails("NUL", Options(allow: ["t-shirt\0"]))
        fails("NUL", Options(deny: ["hat\0"]))
        fails("NUL", Options(declared: "t-shirt\0, or not"))
        fails("topK", Options(topK: 0))
        fails("topK", Options(topK: -1))
        fails("topK", Options(topK: .max))
        fails("minimum", Options(minimumScore: -1))
        fails("minimum", Options(minimumScore: .nan))
    }

    func testLanguagesAndClasses() throws {
        let classifier = try Setup.classifier()
        assertFails(.invalidArgument, "xx") { _ = try classifier.labels(in: "xx") }
        assertFails(.invalidArgument, "NUL") { _ = try classifier.labels(in: "en\0") }
        assertFails(.invalidArgument, "10") { _ = try classifier.label(of: 10, in: "en") }
        assertFails(.invalidArgument, "-1") { _ = try classifier.label(of: -1, in: "en") }
        assertFails(.invalidArgument) { _ = try classifier.label(of: Int(UInt32.max), in: "en") }
        assertFails(.invalidArgument) { _ = try classifier.label(of: .max, in: "en") }
        XCTAssertTrue(try classifier.languages().contains("en"))
        XCTAssertEqual(try classifier.labels(in: "en").count, classifier.classes.count)
        XCTAssertTrue(try classifier.inspect().hasPrefix("{"))
    }

    func testListings() throws {
        let classifier = try Setup.classifier()
        let answer = try classifier.classifyBlocking(Setup.photo())
        assertFails(.invalidArgument) { _ = try classifier.listing(of: []) }
        assertFails(.invalidArgument, "gloves") { _ = try classifier.listing(of: [answer], declared: "gloves") }
        assertFails(.invalidArgument, "NUL") { _ = try classifier.listing(of: [answer], declared: "hat\0") }
    }

    func testPathsAndThreads() throws {
        let bundle = try Setup.bundle()
        let folder = try Setup.conformance()
        assertFails(.io) { _ = try Classifier(contentsOf: folder) }
        assertFails(.io, "missing") { _ = try Classifier(path: "missing.etalase") }
        assertFails(.io) { _ = try Classifier(path: "") }
        assertFails(.invalidArgument, "NUL") { _ = try Classifier(path: bundle.path + "\0") }
        let web = try XCTUnwrap(URL(string: "https://localhost/default.etalase"))
        assertFails(.invalidArgument, "file URL") { _ = try Classifier(contentsOf: web) }
        for threads in [-1, 100_000, .max, .min] {
            assertFails(.invalidArgument, "threads") { _ = try Classifier(contentsOf: bundle, threads: threads) }
        }
    }

    func testPanicsAreErrors() throws {
        let classifier = try Setup.classifier()
        let photo = try Setup.photo()
        let expected = try classifier.classifyBlocking(photo).scores
        for place in ["core", "binding"] {
            let panics = Photo.encoded(Data("etalase: panic in the \(place)".utf8))
            assertFails(.internal) { _ = try classifier.classifyBlocking(panics) }
            XCTAssertEqual(try classifier.classifyBlocking(photo).scores, expected)
        }
    }
}
