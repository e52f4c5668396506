// How Swift calls C: errors are thrown, texts and numbers are checked on their way. Nothing here traps.

import Foundation
internal import CEtalase

/// Where a native call writes its error's message.
typealias NativeError = UnsafeMutablePointer<CEtalase.EtalaseError>?

/// Runs a call of the C interface and throws what it reports.
func checked(_ call: (NativeError) -> Int32) throws(EtalaseError) {
    // Not an initialized struct: it would be a kilobyte of zeros for every call, and the library sets it.
    let failure = withUnsafeTemporaryAllocation(of: CEtalase.EtalaseError.self, capacity: 1) { room -> EtalaseError? in
        let status = call(room.baseAddress)
        if status == 0 { return nil }
        let message = UnsafeRawPointer(room.baseAddress)?.assumingMemoryBound(to: CChar.self)
        return EtalaseError(status: status, message: message.map { String(cString: $0) } ?? "")
    }
    if let failure { throw failure }
}

/// A number that C takes without a sign.
func unsigned(_ value: Int, _ name: String) throws(EtalaseError) -> UInt32 {
    guard let number = UInt32(exactly: value) else {
        throw EtalaseError(.invalidArgument, "\(name) is \(value); 0 to \(UInt32.max) are possible")
    }
    return number
}

/// Calls `body` with texts as C reads them, in their order and valid until it returns.
func withCStrings<R>(
    _ texts: [String],
    _ name: String,
    _ body: ([UnsafePointer<CChar>]) throws(EtalaseError) -> R
) throws(EtalaseError) -> R {
    var bytes: [CChar] = []
    var starts: [Int] = []
    for text in texts {
        // C would read up to it only, and so another text.
        guard !text.utf8.contains(0) else {
            throw EtalaseError(.invalidArgument, "\(name): \(text.debugDescription) contains NUL")
        }
        starts.append(bytes.count)
        bytes.append(contentsOf: text.utf8CString)
    }
    return try bytes.read { (bytes) throws(EtalaseError) -> R in
        try body(starts.compactMap { start in bytes.baseAddress?.advanced(by: start) })
    }
}

/// As `withCStrings`, for one.
func withCString<R>(
    _ text: String,
    _ name: String,
    _ body: (UnsafePointer<CChar>?) throws(EtalaseError) -> R
) throws(EtalaseError) -> R {
    try withCStrings([text], name) { (texts) throws(EtalaseError) -> R in try body(texts.first) }
}

// Reading in place, as `withUnsafeBytes` and `withUnsafeBufferPointer` do it; those forget the type of errors.

extension Data {
    func read<R>(_ body: (UnsafeRawBufferPointer) throws(EtalaseError) -> R) throws(EtalaseError) -> R {
        try withUnsafeBytes { bytes in
            Result { () throws(EtalaseError) -> R in try body(bytes) }
        }.get()
    }
}

extension Array {
    func read<R>(_ body: (UnsafeBufferPointer<Element>) throws(EtalaseError) -> R) throws(EtalaseError) -> R {
        try withUnsafeBufferPointer { elements in
            Result { () throws(EtalaseError) -> R in try body(elements) }
        }.get()
    }
}

extension UnsafeRawBufferPointer {
    var bytePointer: UnsafePointer<UInt8>? { baseAddress?.assumingMemoryBound(to: UInt8.self) }
}
