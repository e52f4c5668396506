import Foundation
internal import CEtalase

/// Where a photo's bytes come from. Sources of Apple's frameworks have files of their own.
///
/// Not generic over what `body` returns: through `any PhotoSource`, the runtime would look types up for each call.
protocol PhotoSource: Sendable {
    /// Calls `body` with the stored photo as C reads it, valid until it returns.
    func read(_ body: (EtalasePhoto) throws(EtalaseError) -> Void) throws(EtalaseError)
}

/// An encoded file in memory.
struct EncodedSource: PhotoSource {
    let data: Data

    func read(_ body: (EtalasePhoto) throws(EtalaseError) -> Void) throws(EtalaseError) {
        try data.read { (bytes) throws(EtalaseError) in
            try body(etalase_photo_encoded(bytes.bytePointer, bytes.count))
        }
    }
}

/// Pixels in memory: packed ones, or a frame.
struct PixelSource: PhotoSource {
    let format: UInt32
    let width: Int
    let height: Int
    /// One, or a frame's Y, U and V.
    let planes: [Plane]
    var colours = YUVColours()

    func read(_ body: (EtalasePhoto) throws(EtalaseError) -> Void) throws(EtalaseError) {
        var photo = etalase_photo_init()
        photo.format = format
        photo.width = try unsigned(width, "width")
        photo.height = try unsigned(height, "height")
        colours.set(&photo)
        try read(planes[...], photo, body)
    }

    /// Adds one plane after the other, each within the reading of those before.
    private func read(
        _ rest: ArraySlice<Plane>,
        _ photo: EtalasePhoto,
        _ body: (EtalasePhoto) throws(EtalaseError) -> Void
    ) throws(EtalaseError) {
        guard let plane = rest.first else { return try body(photo) }
        try plane.read { (native) throws(EtalaseError) in
            var photo = photo
            switch rest.startIndex {
            case 0: photo.planes.0 = native
            case 1: photo.planes.1 = native
            default: photo.planes.2 = native
            }
            try read(rest.dropFirst(), photo, body)
        }
    }
}
