import Foundation
internal import CEtalase

/// What went wrong: every function of Etalase that throws, throws this.
///
/// ```swift
/// do {
///     answer = try await classifier.classify(photo)
/// } catch where error.kind == .photo {
///     showAlert("This file is no photo.")
/// } catch { … }
/// ```
public struct EtalaseError: Error, Equatable, Sendable {
    /// A kind of error. Raw values are stable names, the same in every language of Etalase.
    public enum Kind: String, CaseIterable, Sendable {
        /// A file could not be read.
        case io
        /// The bytes are not a photo that can be decoded.
        case photo
        /// The photo has more pixels than the library takes.
        case photoTooLarge = "photo_too_large"
        /// The bundle is damaged or contradicts itself.
        case bundle
        /// The bundle was made for a newer library.
        case bundleTooNew = "bundle_too_new"
        /// The network cannot be read, is not a classifier, or failed while running.
        case model
        /// The caller passed something that cannot be meant: a buffer shorter than announced, an unknown label.
        case invalidArgument = "invalid_argument"
        /// The task was cancelled, or a ``Cancel`` flag was set, before the answer was there.
        case cancelled
        /// The ``Classifier`` is closed.
        case closed
        /// A defect of the library. Nothing of the call is kept, and the next one works.
        case `internal`
    }

    /// What kind of error it is, to decide by.
    public let kind: Kind

    /// Names the thing and the cause, in English: for developers.
    public let message: String

    init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    /// The error of a native status.
    init(status: Int32, message: String) {
        // By name, so that no second list of numbers can differ from the header's.
        let name = etalase_status_name(status).map { String(cString: $0) }
        kind = name.flatMap(Kind.init) ?? .internal
        self.message = message
    }
}

extension EtalaseError: LocalizedError, CustomStringConvertible {
    /// ``message``, which is not translated.
    public var errorDescription: String? { message }

    /// The kind's stable name and the message.
    public var description: String { "\(kind.rawValue): \(message)" }
}
