import Etalase
import Foundation
import XCTest

/// The conformance list through this package; its README explains the lines.
final class ConformanceTests: XCTestCase {
    func testList() throws {
        let folder = try Folder()
        let classifier = try Setup.classifier()
        var cases = 0
        var open: Case?
        for line in try String(contentsOf: folder.url("cases.txt"), encoding: .utf8).split(separator: "\n") {
            let words = line.split(separator: " ").map(String.init)
            switch words.first {
            case nil: continue
            case let word? where word.hasPrefix("#"): continue
            case "case": open = Case(folder, words[1])
            case "end":
                guard let ended = open else { throw Unusable("an end without a case") }
                ended.run(classifier)
                cases += 1
                open = nil
            default:
                if open == nil { throw Unusable("outside of a case: \(line)") }
                try open?.read(String(line), words)
            }
        }
        XCTAssertGreaterThanOrEqual(cases, 50)
        print("conformance: \(cases) cases")
    }
}

/// The files of the list.
private struct Folder {
    private let folder: URL
    private let bundle: URL

    init() throws {
        folder = try Setup.conformance()
        bundle = try Setup.bundle()
    }

    func url(_ name: String) -> URL { name == "default" ? bundle : folder.appendingPathComponent(name) }

    func data(_ name: String) throws -> Data { try Data(contentsOf: url(name)) }

    func part(_ name: String, _ offset: Int, _ length: Int) throws -> Data {
        let whole = try data(name)
        guard offset + length <= whole.count else { throw Unusable("\(name) is shorter than \(offset + length)") }
        return whole.subdata(in: offset..<offset + length)
    }
}

/// One case of the list.
private struct Case {
    private static let results: Set = [
        "ranked", "familiarity", "verdict", "size", "advice", "odd", "text", "opened", "error",
    ]
    private static let formats: [String: PixelFormat] = [
        "rgb": .rgb, "bgr": .bgr, "rgba": .rgba, "bgra": .bgra, "rgba_premultiplied": .rgbaPremultiplied,
        "bgra_premultiplied": .bgraPremultiplied, "grey": .grey,
    ]

    private let folder: Folder
    private let name: String
    private var expected: [String] = []
    private var photos: [Data] = []
    private var pixels: (format: String, width: Int, height: Int)?
    private var planes: [Plane] = []
    private var colours = YUVColours()
    private var orientation: Int?
    private var region: [Int] = []
    private var options = Options()
    private var isCancelled = false
    private var isListing = false
    private var openFile: String?
    private var openMemory: Data?
    private var label: (classIndex: Int, language: String)?

    init(_ folder: Folder, _ name: String) {
        self.folder = folder
        self.name = name
    }

    mutating func read(_ line: String, _ words: [String]) throws {
        let numbers = words.map { Int($0) ?? 0 }
        switch words[0] {
        case let word where Case.results.contains(word): expected.append(line)
        case "photo": photos.append(try folder.data(words[1]))
        case "pixels": pixels = (words[1], numbers[2], numbers[3])
        case "plane":
            let data = try folder.part(words[1], numbers[2], numbers[3])
            planes.append(Plane(data: data, rowStride: numbers[4], pixelStride: numbers[5]))
        case "colours":
            colours = YUVColours(
                matrix: words[1] == "bt709" ? .bt709 : .bt601,
                range: words[2] == "video" ? .video : .full
            )
        case "orientation": orientation = numbers[1]
        case "region": region = Array(numbers[1...])
        case "top_k": options.topK = numbers[1]
        case "minimum_score": options.minimumScore = Float(words[1]) ?? .nan
        case "allow": options.allow = (options.allow ?? []).union(words.dropFirst())
        case "deny": options.deny.insert(words[1])
        case "declared": options.declared = words[1]
        case "cancelled": isCancelled = true
        case "listing": isListing = true
        case "open_file": openFile = words[1]
        case "open_memory": openMemory = try folder.part(words[1], 0, numbers[2])
        case "name": label = (numbers[1], words[2])
        default: throw Unusable("not understood: \(line)")
        }
    }

    func run(_ classifier: Classifier) {
        let told: [String]
        do {
            told = try lines(classifier)
        } catch let error as EtalaseError {
            told = ["error \(error.kind.rawValue)"]
        } catch {
            return XCTFail("\(name): \(error)")
        }
        XCTAssertEqual(told, expected, name)
    }

    private func lines(_ classifier: Classifier) throws -> [String] {
        if let openFile {
            try Classifier(contentsOf: folder.url(openFile)).close()
            return ["opened"]
        }
        if let openMemory {
            try Classifier(data: openMemory).close()
            return ["opened"]
        }
        if let label { return ["text \(try classifier.label(of: label.classIndex, in: label.language))"] }
        if isListing { return try listing(classifier) }

        let cancel = try Cancel()
        if isCancelled { cancel.cancel() }
        let answer = try classifier.classifyBlocking(photo(), options: options, cancel: cancel)
        var lines = judged(answer.ranked, answer.familiarity, answer.verdict)
        lines.append("size \(answer.measures.widthPx) \(answer.measures.heightPx)")
        if !answer.advice.isEmpty {
            lines.append("advice \(answer.advice.map(\.rawValue).joined(separator: " "))")
        }
        return lines
    }

    private func listing(_ classifier: Classifier) throws -> [String] {
        let answers = try photos.map { try classifier.classifyBlocking(.encoded($0)) }
        let listing = try classifier.listing(of: answers, declared: options.declared)
        let odd = listing.odd.map { "odd \($0.photo) \($0.shows ?? "-")" }
        return judged(listing.ranked, listing.familiarity, listing.verdict) + odd
    }

    private func photo() throws -> Photo {
        var photo = try content()
        if let orientation { photo = photo.oriented(exif: orientation) }
        if region.count == 4 { photo = photo.region(x: region[0], y: region[1], width: region[2], height: region[3]) }
        return photo
    }

    private func content() throws -> Photo {
        guard let (format, width, height) = pixels else { return .encoded(photos.first ?? Data()) }
        guard let first = planes.first else { throw Unusable("\(name) has no plane") }
        let (data, stride) = (first.data, first.rowStride)
        switch format {
        case "nv12": return .nv12(width: width, height: height, rowStride: stride, data: data, colours: colours)
        case "nv21": return .nv21(width: width, height: height, rowStride: stride, data: data, colours: colours)
        case "i420": return .i420(width: width, height: height, data: data, colours: colours)
        case "yuv420":
            return .yuv420(width: width, height: height, y: planes[0], u: planes[1], v: planes[2], colours: colours)
        default:
            guard let packed = Case.formats[format] else { throw Unusable("format \(format)") }
            return .pixels(packed, width: width, height: height, rowStride: stride, data: data)
        }
    }

    private func judged(_ ranked: [Score], _ familiarity: Float?, _ verdict: Verdict?) -> [String] {
        var lines = ranked.map { "ranked \($0.label) \(bits($0.score))" }
        if let familiarity { lines.append("familiarity \(bits(familiarity))") }
        if let verdict {
            lines.append("verdict \(verdict.kind.rawValue) \(verdict.reason.rawValue) \(verdict.suggested ?? "-")")
        }
        return lines
    }

    private func bits(_ value: Float) -> String {
        let digits = String(value.bitPattern, radix: 16)
        return String(repeating: "0", count: 8 - digits.count) + digits
    }
}
