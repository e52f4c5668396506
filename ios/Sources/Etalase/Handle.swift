// The native classifier's life: it is freed when nothing refers to it any more, the last running call included. So it may
// be closed at any time, and no lock is held while a call runs.

import Foundation
internal import CEtalase

/// An open native classifier.
///
/// Unchecked, for its pointer never changes, and native calls may come from any number of threads.
final class Handle: @unchecked Sendable {
    private let pointer: OpaquePointer

    init(
        threads: Int,
        open: (UnsafePointer<EtalaseOpenOptions>, UnsafeMutablePointer<OpaquePointer?>, NativeError) -> Int32
    ) throws(EtalaseError) {
        var options = etalase_open_options_init()
        options.threads = try unsigned(threads, "threads")
        var opened: OpaquePointer?
        try checked { error in open(&options, &opened, error) }
        guard let opened else { throw EtalaseError(.internal, "opened, but there is no classifier") }
        pointer = opened
    }

    deinit {
        etalase_classifier_free(pointer)
    }

    /// Runs a call, during which the classifier stays open.
    func call(_ body: (OpaquePointer, NativeError) -> Int32) throws(EtalaseError) {
        // Without it, the last reference may go as soon as the pointer is read.
        defer { withExtendedLifetime(self) {} }
        try checked { error in body(pointer, error) }
    }

    /// A text that belongs to the native classifier, copied.
    func text(
        _ body: (OpaquePointer, UnsafeMutablePointer<UnsafePointer<CChar>?>, NativeError) -> Int32
    ) throws(EtalaseError) -> String {
        defer { withExtendedLifetime(self) {} }
        var text: UnsafePointer<CChar>?
        try checked { error in body(pointer, &text, error) }
        return text.map { String(cString: $0) } ?? ""
    }
}

/// A handle that can be taken away.
///
/// Unchecked, for what changes is read and written under the lock only.
final class HandleSlot: @unchecked Sendable {
    private let lock = NSLock()
    private var handle: Handle?

    init(_ handle: Handle) {
        self.handle = handle
    }

    /// The handle, which stays open for as long as the caller refers to it.
    func get() throws(EtalaseError) -> Handle {
        lock.lock()
        defer { lock.unlock() }
        guard let handle else { throw EtalaseError(.closed, "the classifier is closed") }
        return handle
    }

    func clear() {
        // Taken out first: to free it under the lock would keep others waiting.
        let last = lock.withLock { () -> Handle? in
            defer { handle = nil }
            return handle
        }
        withExtendedLifetime(last) {}
    }
}
