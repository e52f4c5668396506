internal import CEtalase

/// A flag that cancels calls of ``Classifier/classifyBlocking(_:options:cancel:)`` from another thread.
///
/// Once set it stays so: make a new one for the next calls. Tasks need none, for the asynchronous
/// ``Classifier/classify(_:options:)`` heeds their own cancellation. Any thread.
///
/// Unchecked, for its pointer never changes, and the native flag is made to be set while others read it.
public final class Cancel: @unchecked Sendable {
    private let pointer: OpaquePointer

    /// Makes a flag that is not set.
    ///
    /// - Throws: ``EtalaseError`` of the kind `internal` where the library fails.
    public init() throws(EtalaseError) {
        var made: OpaquePointer?
        try checked { error in etalase_cancel_new(&made, error) }
        guard let made else { throw EtalaseError(.internal, "made, but there is no flag") }
        pointer = made
    }

    deinit {
        etalase_cancel_free(pointer)
    }

    /// Cancels the calls that were given this flag, within the time of one operation of the network or of one photo's
    /// decoding.
    public func cancel() {
        etalase_cancel(pointer)
    }

    /// Calls `body` with the native flag, which lives until it returns.
    func read<R>(_ body: (OpaquePointer) throws(EtalaseError) -> R) throws(EtalaseError) -> R {
        defer { withExtendedLifetime(self) {} }
        return try body(pointer)
    }
}
