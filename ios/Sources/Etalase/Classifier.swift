import Foundation
internal import CEtalase

/// A network with its classes, ready to answer.
///
/// ```swift
/// let classifier = try Classifier(contentsOf: url)
/// let answer = try await classifier.classify(.encoded(data))
/// print(answer.best?.label ?? "nothing")
/// ```
///
/// Open it once and share it: any number of threads and tasks may use it at once, without a lock. It holds native memory
/// until it is closed, or until nothing refers to it any more. Calls after ``close()`` throw the kind `closed`; those that
/// are running get their answer. Not to be opened or asked on the main thread, but for the asynchronous
/// ``classify(_:options:)``.
public final class Classifier: Sendable {
    /// The classes' canonical names, which ``Options`` understand, in the order of ``Answer/scores``.
    public let classes: [String]

    private let slot: HandleSlot

    /// Opens a bundle's file.
    ///
    /// - Parameter threads: Threads for one answer, 1 to 256. They sleep between answers. More photos a second come from
    ///   asking on more threads, a faster answer from more threads here.
    /// - Throws: ``EtalaseError`` of the kinds `io` where the file cannot be read, `bundle` where it is damaged or no bundle,
    ///   `bundleTooNew` where it was made for a newer library, `model` where its network cannot be read, `invalidArgument`
    ///   where the path contains NUL or the number of threads is not possible.
    public convenience init(path: String, threads: Int = 1) throws(EtalaseError) {
        let handle = try withCString(path, "path") { (path) throws(EtalaseError) -> Handle in
            try Handle(threads: threads) { etalase_open_file(path, $0, $1, $2) }
        }
        try self.init(handle)
    }

    /// Opens the bundle at a file URL; otherwise as ``init(path:threads:)``.
    ///
    /// - Throws: ``EtalaseError`` of the kind `invalidArgument` where it is no file URL, too.
    public convenience init(contentsOf url: URL, threads: Int = 1) throws(EtalaseError) {
        guard url.isFileURL else { throw EtalaseError(.invalidArgument, "\(url) is no file URL") }
        try self.init(path: url.path, threads: threads)
    }

    /// Opens a bundle in memory, which is copied; otherwise as ``init(path:threads:)``.
    public convenience init(data: Data, threads: Int = 1) throws(EtalaseError) {
        let handle = try data.read { (bytes) throws(EtalaseError) -> Handle in
            try Handle(threads: threads) { etalase_open_memory(bytes.bytePointer, bytes.count, $0, $1, $2) }
        }
        try self.init(handle)
    }

    /// Opens the bundle that the native library was built with; otherwise as ``init(path:threads:)``.
    ///
    /// - Throws: ``EtalaseError`` of the kind `invalidArgument` where it was built without, too.
    public static func bundled(threads: Int = 1) throws(EtalaseError) -> Classifier {
        try Classifier(try Handle(threads: threads, open: etalase_open_default))
    }

    private init(_ handle: Handle) throws(EtalaseError) {
        var count: UInt32 = 0
        try handle.call { etalase_class_count($0, &count, $1) }
        classes = try Classifier.labels(handle, count, nil)
        slot = HandleSlot(handle)
    }

    /// The languages that have labels, as BCP 47 tags.
    ///
    /// - Throws: ``EtalaseError`` of the kind `closed`.
    public func languages() throws(EtalaseError) -> [String] {
        struct Content: Decodable {
            let labels: [String: [String]]
        }
        let json = Data(try inspect().utf8)
        do {
            return try JSONDecoder().decode(Content.self, from: json).labels.keys.sorted()
        } catch {
            throw EtalaseError(.internal, "the bundle's content: \(error)")
        }
    }

    /// All classes' names in a language, a BCP 47 tag, else in one that shares its first part ("id" for "id-ID"), in the
    /// order of ``classes``.
    ///
    /// - Throws: ``EtalaseError`` of the kinds `invalidArgument` where the bundle has no labels in that language, `closed`.
    public func labels(in language: String) throws(EtalaseError) -> [String] {
        let handle = try slot.get()
        return try withCString(language, "language") { (language) throws(EtalaseError) -> [String] in
            try Classifier.labels(handle, UInt32(clamping: classes.count), language)
        }
    }

    /// One class's name in a language; otherwise as ``labels(in:)``.
    ///
    /// - Throws: ``EtalaseError`` of the kind `invalidArgument` where there is no such class, too.
    public func label(of classIndex: Int, in language: String) throws(EtalaseError) -> String {
        let handle = try slot.get()
        let classIndex = try unsigned(classIndex, "a class's number")
        return try withCString(language, "language") { (language) throws(EtalaseError) -> String in
            try handle.text { etalase_label($0, classIndex, language, $1, $2) }
        }
    }

    /// What is in the bundle: one JSON object with `name`, `version`, `labels`, `card` and more, as `etalase inspect --json`
    /// gives it.
    ///
    /// - Throws: ``EtalaseError`` of the kind `closed`.
    public func inspect() throws(EtalaseError) -> String {
        try slot.get().text(etalase_inspect)
    }

    /// Says what a photo shows, on this thread, which it keeps for the whole time.
    ///
    /// It has a name of its own because Swift would take an asynchronous function of the same name wherever there is one to
    /// take: a task could not ask for this one.
    ///
    /// - Parameter cancel: Cancels the call from another thread.
    /// - Throws: ``EtalaseError`` of the kinds `photo` where it cannot be decoded, `photoTooLarge` where it has too many
    ///   pixels, `invalidArgument` where pixels, region, labels or sizes cannot be meant, `cancelled`, `closed`, `model`.
    public func classifyBlocking(
        _ photo: Photo,
        options: Options = Options(),
        cancel: Cancel? = nil
    ) throws(EtalaseError) -> Answer {
        guard let cancel else { return try answer(photo, options, nil) }
        return try cancel.read { (flag) throws(EtalaseError) -> Answer in try answer(photo, options, flag) }
    }

    /// Fuses the photos of one listing: one answer, the photos that do not belong, and a verdict where something is declared.
    ///
    /// - Parameters:
    ///   - photos: This classifier's answers, at least one.
    ///   - declared: What the seller says they show, a canonical name; nil: nothing.
    /// - Throws: ``EtalaseError`` of the kinds `invalidArgument` where there is no photo, or the label is unknown, `closed`.
    public func listing(of photos: [Answer], declared: String? = nil) throws(EtalaseError) -> Listing {
        let handle = try slot.get()
        var room = ListingRoom(classes: classes, photoCount: photos.count)
        // All in one buffer, which so has one address.
        let scores = photos.flatMap(\.scores)
        let declared = declared.map { [$0] } ?? []
        try withCStrings(declared, "declared") { (declared) throws(EtalaseError) in
            try handle.call { pointer, error in
                scores.withUnsafeBufferPointer { scores in
                    var next = scores.baseAddress
                    let said = photos.map { photo -> EtalaseSaid in
                        defer { next = next?.advanced(by: photo.scores.count) }
                        let familiarity = photo.familiarity ?? -1
                        return EtalaseSaid(scores: next, length: photo.scores.count, familiarity: familiarity)
                    }
                    return room.fill { etalase_listing(pointer, said, said.count, declared.first, $0, error) }
                }
            }
        }
        return room.listing
    }

    /// Frees the memory, at the latest when the last running call is over. Any thread, more than once.
    public func close() {
        slot.clear()
    }

    private func answer(
        _ photo: Photo, _ options: Options, _ cancel: OpaquePointer?
    ) throws(EtalaseError) -> Answer {
        let handle = try slot.get()
        var room = AnswerRoom(classes: classes)
        try options.read(cancel: cancel) { (options) throws(EtalaseError) in
            try photo.read { (photo) throws(EtalaseError) in
                try handle.call { classifier, error in
                    withUnsafePointer(to: photo) { photo in
                        withUnsafePointer(to: options) { options in
                            room.fill { etalase_classify(classifier, photo, options, $0, error) }
                        }
                    }
                }
            }
        }
        return room.answer
    }

    private static func labels(
        _ handle: Handle, _ count: UInt32, _ language: UnsafePointer<CChar>?
    ) throws(EtalaseError) -> [String] {
        var labels: [String] = []
        for index in 0..<count {
            labels.append(try handle.text { etalase_label($0, index, language, $1, $2) })
        }
        return labels
    }
}
