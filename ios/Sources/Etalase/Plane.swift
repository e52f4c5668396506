import Foundation
internal import CEtalase

/// One plane of a frame. Rows go from the top; the last one may end with its last sample.
public struct Plane: Sendable {
    /// The bytes, which are not copied.
    public var data: Data

    /// Bytes from a row to the next; 0: rows without gaps.
    public var rowStride: Int

    /// Bytes from a sample to the next: 1, or 2 where two planes are interleaved.
    public var pixelStride: Int

    /// A plane.
    public init(data: Data, rowStride: Int = 0, pixelStride: Int = 1) {
        self.data = data
        self.rowStride = rowStride
        self.pixelStride = pixelStride
    }
}

extension Plane {
    /// Calls `body` with the plane as C reads it, valid until it returns.
    func read(_ body: (EtalasePlane) throws(EtalaseError) -> Void) throws(EtalaseError) {
        // C has no sign there: a negative stride would be a huge one.
        guard rowStride >= 0, pixelStride >= 0 else {
            throw EtalaseError(.invalidArgument, "a row stride of \(rowStride), a pixel stride of \(pixelStride) bytes")
        }
        try data.read { (bytes) throws(EtalaseError) in
            try body(
                EtalasePlane(
                    data: bytes.bytePointer,
                    length: bytes.count,
                    row_stride: rowStride,
                    pixel_stride: pixelStride
                )
            )
        }
    }
}
