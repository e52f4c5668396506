#if canImport(CoreGraphics) && canImport(ImageIO)
import CoreGraphics
import ImageIO
internal import CEtalase

extension Photo {
    /// An image that is decoded, or that Apple's frameworks decode, such as HEIC. It is drawn in sRGB each time that it is
    /// classified: 4 bytes a pixel, until the answer is there.
    public static func image(_ image: CGImage, orientation: CGImagePropertyOrientation = .up) -> Photo {
        Photo(CGImageSource(image: image)).oriented(orientation)
    }

    /// As `oriented(_: Orientation)`, for orientations as Apple's frameworks have them.
    public func oriented(_ orientation: CGImagePropertyOrientation) -> Photo {
        oriented(exif: Int(orientation.rawValue))
    }
}

/// Unchecked, for an image does not change.
struct CGImageSource: PhotoSource, @unchecked Sendable {
    /// The library's own limit, known here so that no memory is taken for what it would refuse.
    private static let maxPixels = 100_000_000

    /// Nil where a UIImage has none.
    let image: CGImage?

    func read(_ body: (EtalasePhoto) throws(EtalaseError) -> Void) throws(EtalaseError) {
        guard let image else { throw EtalaseError(.photo, "the image has no pixels of its own: draw it first") }
        let (width, height) = (image.width, image.height)
        let (pixels, overflow) = width.multipliedReportingOverflow(by: height)
        guard !overflow, pixels <= CGImageSource.maxPixels else {
            throw EtalaseError(.photoTooLarge, "an image of \(width) x \(height) px")
        }
        let context = CGContext(
            data: nil,
            width: width,
            height: height,
            bitsPerComponent: 8,
            bytesPerRow: 0,
            space: CGColorSpace(name: CGColorSpace.sRGB) ?? CGColorSpaceCreateDeviceRGB(),
            bitmapInfo: CGImageAlphaInfo.premultipliedLast.rawValue | CGBitmapInfo.byteOrder32Big.rawValue
        )
        guard let context, let bytes = context.data else {
            throw EtalaseError(.photo, "an image of \(width) x \(height) px cannot be drawn")
        }
        context.setBlendMode(.copy)
        context.draw(image, in: CGRect(x: 0, y: 0, width: width, height: height))
        // The context owns the bytes.
        defer { withExtendedLifetime(context) {} }
        var photo = etalase_photo_init()
        photo.format = ETALASE_FORMAT_RGBA_PREMULTIPLIED.rawValue
        photo.width = try unsigned(width, "width")
        photo.height = try unsigned(height, "height")
        photo.planes.0.data = UnsafePointer(bytes.assumingMemoryBound(to: UInt8.self))
        photo.planes.0.length = context.bytesPerRow * height
        photo.planes.0.row_stride = context.bytesPerRow
        try body(photo)
    }
}
#endif
