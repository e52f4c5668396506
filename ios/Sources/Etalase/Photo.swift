import Foundation
internal import CEtalase

/// A photo: bytes of a file, or pixels as an app or a camera has them.
///
/// ```swift
/// let photo = Photo.encoded(try Data(contentsOf: url))
/// let frame = Photo.pixels(.rgba, width: 640, height: 480, data: pixels).region(x: 0, y: 80, width: 640, height: 320)
/// ```
///
/// It keeps what it was made of, which is not copied, and reads it each time that it is classified. `Data` that borrows
/// memory (`Data(bytesNoCopy:count:deallocator:)`) is read in place; nobody may change or free that memory meanwhile. What
/// cannot be meant (a buffer shorter than announced, a negative width) is an ``EtalaseError`` of the kind `invalidArgument`
/// of the classification. A photo itself does not change: any number of threads may use it.
public struct Photo: Sendable {
    private let source: any PhotoSource
    /// EXIF's number.
    private var orientation = Orientation.upright.rawValue
    private var region: (x: Int, y: Int, width: Int, height: Int)?

    init(_ source: any PhotoSource) {
        self.source = source
    }

    /// A JPEG, PNG, WebP, GIF (its first frame) or BMP file's bytes. Its own EXIF orientation is followed.
    public static func encoded(_ data: Data) -> Photo {
        Photo(EncodedSource(data: data))
    }

    /// Pixels in one buffer.
    ///
    /// - Parameters:
    ///   - width: Width as stored, px.
    ///   - height: Height as stored, px.
    ///   - rowStride: Bytes from a row to the next; 0: rows without gaps.
    public static func pixels(
        _ format: PixelFormat,
        width: Int,
        height: Int,
        rowStride: Int = 0,
        data: Data
    ) -> Photo {
        let plane = Plane(data: data, rowStride: rowStride)
        return Photo(PixelSource(format: format.native, width: width, height: height, planes: [plane]))
    }

    /// The photo, turned to stand upright. It replaces an earlier orientation. Of an encoded photo: what is left to do after
    /// its own EXIF orientation.
    public func oriented(_ orientation: Orientation) -> Photo {
        oriented(exif: orientation.rawValue)
    }

    /// The photo with EXIF's number of an orientation, 1 to 8 (0, "undefined", as 1); otherwise as `oriented(_:)`.
    public func oriented(exif orientation: Int) -> Photo {
        var photo = self
        photo.orientation = orientation
        return photo
    }

    /// The part of the upright photo that counts, in px from its left and top edge; at least 1 px wide and high.
    public func region(x: Int, y: Int, width: Int, height: Int) -> Photo {
        var photo = self
        photo.region = (x, y, width, height)
        return photo
    }

    /// Calls `body` with the photo as C reads it, valid until it returns.
    func read(_ body: (EtalasePhoto) throws(EtalaseError) -> Void) throws(EtalaseError) {
        let orientation = try unsigned(orientation, "orientation")
        let region = try nativeRegion()
        try source.read { (stored) throws(EtalaseError) in
            var photo = stored
            photo.orientation = orientation
            photo.region = region
            try body(photo)
        }
    }

    private func nativeRegion() throws(EtalaseError) -> EtalaseRegion {
        guard let region else { return EtalaseRegion() }
        // C takes zeros for the whole photo.
        guard region.width > 0, region.height > 0 else {
            throw EtalaseError(.invalidArgument, "a region of \(region.width) x \(region.height) px")
        }
        return EtalaseRegion(
            x: try unsigned(region.x, "the region's x"),
            y: try unsigned(region.y, "the region's y"),
            width: try unsigned(region.width, "the region's width"),
            height: try unsigned(region.height, "the region's height")
        )
    }
}
