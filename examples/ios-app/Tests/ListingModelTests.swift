// The sample app without its views; its photos are files of the conformance list. ETALASE_CONFORMANCE and ETALASE_BUNDLE
// are as for the package's own tests.

import Etalase
import Foundation
import XCTest
@testable import SampleListing

private let tShirt = "../data/sample.jpg"
private let noPhoto = "photos/no_photo.txt"
private let oneColour = "photos/one_colour.png"

private struct Gone: LocalizedError {
    var errorDescription: String? { "it is gone" }
}

/// Not on the main actor itself: the list of tests that SwiftPM writes on Linux cannot call those that are.
final class ListingModelTests: XCTestCase {
    func testCategoriesHaveNamesInTheLanguageAskedFor() async throws {
        try await onMain {
            let model = try model()
            try await eventually { !model.categories.isEmpty }
            XCTAssertEqual(model.categories.count, 10)
            XCTAssertEqual(model.categories.first { $0.label == "longsleeve" }?.name, "Long-sleeved shirt")
        }
    }

    func testEachDeclarationGetsItsVerdict() async throws {
        try await onMain {
            let model = try model()
            model.pick([tShirt])
            try await judged(model)
            XCTAssertEqual(model.photos.map(\.remarks), [[Remark("Looks like T-shirt.", .neutral)]])
            XCTAssertNil(model.suggested)
            for (declared, remark) in [
                ("t-shirt", Remark("Shows T-shirt, as declared.", .good)),
                ("skirt", Remark("Shows T-shirt rather than Skirt.", .warning)),
                ("dress", Remark("Could be Dress, or T-shirt.", .neutral)),
            ] {
                model.declare(declared)
                XCTAssertEqual(model.photos.map(\.remarks), [nil])
                XCTAssertNil(model.remarks)
                try await judged(model)
                XCTAssertEqual(model.photos.map(\.remarks), [[remark]])
                XCTAssertEqual(model.remarks, [remark])
                XCTAssertEqual(model.suggested?.name, declared == "t-shirt" ? nil : "T-shirt")
            }
        }
    }

    func testAdviceStandsBesideTheVerdict() async throws {
        try await onMain {
            let model = try model()
            model.declare("hat")
            model.pick(["photos/small.bmp"])
            try await judged(model)
            let remarks = [
                Remark("Nothing known in it: show the whole item, and little else.", .neutral),
                Remark("Blurred: hold still, and try again.", .warning),
                Remark("Too small: take a larger photo.", .warning),
            ]
            XCTAssertEqual(model.photos.map(\.remarks), [remarks])
        }
    }

    func testTheOddOneOutIsCalledByItsNumberOnTheScreen() async throws {
        try await onMain {
            let model = try model()
            model.declare("t-shirt")
            model.pick([noPhoto, tShirt, oneColour])
            try await judged(model)
            let unreadable = Remark("This file is no photo that can be read. Choose another.", .warning)
            XCTAssertEqual(model.photos.first?.remarks, [unreadable])
            let match = Remark("Shows T-shirt, as declared.", .good)
            let odd = Remark("Photo 3 does not fit the others: it shows something else.", .warning)
            XCTAssertEqual(model.remarks, [match, odd])

            model.pick([noPhoto, tShirt])
            XCTAssertEqual(model.photos.last?.remarks, [match], "what is known stays")
            try await judged(model)
            XCTAssertEqual(model.remarks, [match])
            let hat = Texts(names: ["hat": "Hat"]).odd(2, shows: "hat")
            XCTAssertEqual(hat, Remark("Photo 2 does not fit the others: it shows Hat.", .warning))
        }
    }

    func testAPhotoThatCannotBeLoaded() async throws {
        try await onMain {
            let model = try model { _ in throw Gone() }
            model.pick(["a"])
            try await eventually { model.photos.allSatisfy { $0.remarks != nil } }
            XCTAssertEqual(model.photos.map(\.remarks), [[Remark("This photo cannot be loaded: it is gone", .warning)]])
            XCTAssertNil(model.remarks)
        }
    }

    func testABundleThatCannotBeOpened() async throws {
        try await onMain {
            let model = ListingModel<String>(language: "en", load: file) { () throws(EtalaseError) in
                try Classifier(data: Data(count: 100))
            }
            model.pick([tShirt])
            try await eventually { model.failure != nil }
            XCTAssertEqual(model.failure?.hasPrefix("Photos cannot be checked: "), true)
            XCTAssertNil(model.cameraHints)
        }
    }

    /// A photo that takes until it is cancelled keeps nobody waiting.
    func testAChangeCancelsWhatIsAskedAboutTheListingBefore() async throws {
        try await onMain {
            let cancelled = Names()
            let model = try model { name in
                if name != "endless" { return try file(name) }
                do {
                    try await Task.sleep(nanoseconds: 3_600_000_000_000)
                } catch {
                    await cancelled.add(name)
                    throw error
                }
                return Data()
            }
            model.pick(["endless", tShirt])
            try await eventually { model.photos.contains { $0.remarks != nil } }
            model.pick([tShirt])
            try await eventually { await cancelled.all == ["endless"] }
            try await judged(model)
            XCTAssertEqual(model.photos.map(\.item), [tShirt])
        }
    }

    func testAPhotoIsLoadedOnce() async throws {
        try await onMain {
            let loads = Names()
            let model = try model { name in
                await loads.add(name)
                return try file(name)
            }
            model.pick([tShirt])
            try await judged(model)
            model.declare("hat")
            try await judged(model)
            model.pick([oneColour, tShirt])
            try await judged(model)
            let loaded = await loads.all
            XCTAssertEqual(loaded, [tShirt, oneColour])
        }
    }

    func testTheClassifierGoesWithTheModel() async throws {
        try await onMain {
            var model: ListingModel<String>? = try model()
            model?.pick([tShirt])
            try await eventually { model?.remarks != nil }
            weak var classifier = try XCTUnwrap(model?.cameraHints?.classifier)
            XCTAssertNotNil(classifier)
            model = nil
            try await eventually { classifier == nil }
        }
    }

    func testHintsOnFrames() async throws {
        try await onMain {
            let model = try model()
            try await eventually { model.cameraHints != nil }
            let frame = Photo.encoded(try file(tShirt))
            XCTAssertEqual(model.cameraHints?.hint(for: frame), Remark("Looks like T-shirt.", .neutral))
            model.declare("skirt")
            let hints = try XCTUnwrap(model.cameraHints)
            XCTAssertEqual(hints.hint(for: frame), Remark("Shows T-shirt rather than Skirt.", .warning))
            let small = Photo.encoded(try file("photos/small.bmp"))
            XCTAssertEqual(hints.hint(for: small), Remark("Blurred: hold still, and try again.", .warning))
            let tooShort = Photo.pixels(.bgra, width: 640, height: 480, data: Data(count: 5))
            XCTAssertTrue(hints.hint(for: tooShort).text.hasPrefix("Photos cannot be checked: "))
        }
    }
}

@MainActor
private func onMain(_ body: @MainActor () async throws -> Void) async rethrows {
    try await body()
}

@MainActor
private func model(
    load: @escaping @Sendable (String) async throws -> Data = file
) throws -> ListingModel<String> {
    let bundle = try path("ETALASE_BUNDLE")
    return ListingModel(language: "en", load: load) { () throws(EtalaseError) in try Classifier(path: bundle) }
}

/// Until all photos were looked at.
@MainActor
private func judged(_ model: ListingModel<String>) async throws {
    try await eventually { model.remarks != nil && model.photos.allSatisfy { $0.remarks != nil } }
}

@MainActor
private func eventually(line: UInt = #line, _ condition: () async -> Bool) async throws {
    for _ in 0..<6_000 {
        if await condition() { return }
        try await Task.sleep(nanoseconds: 10_000_000)
    }
    XCTFail("it takes too long", line: line)
}

private actor Names {
    private(set) var all: [String] = []

    func add(_ name: String) {
        all.append(name)
    }
}

private func path(_ variable: String) throws -> String {
    try XCTUnwrap(ProcessInfo.processInfo.environment[variable], "\(variable) is not set")
}

@Sendable
private func file(_ name: String) throws -> Data {
    try Data(contentsOf: URL(fileURLWithPath: path("ETALASE_CONFORMANCE")).appendingPathComponent(name))
}
