#if canImport(UIKit)
import ImageIO
import UIKit

extension Photo {
    /// An image of UIKit, turned as it says; otherwise as `image(_: CGImage)`. One that only describes how it would be drawn
    /// (of a `CIImage`) is an ``EtalaseError`` of the kind `photo` of the classification.
    public static func image(_ image: UIImage) -> Photo {
        Photo(CGImageSource(image: image.cgImage)).oriented(CGImagePropertyOrientation(image.imageOrientation))
    }
}

extension CGImagePropertyOrientation {
    /// The numbers of the two differ.
    init(_ orientation: UIImage.Orientation) {
        switch orientation {
        case .up: self = .up
        case .upMirrored: self = .upMirrored
        case .down: self = .down
        case .downMirrored: self = .downMirrored
        case .left: self = .left
        case .leftMirrored: self = .leftMirrored
        case .right: self = .right
        case .rightMirrored: self = .rightMirrored
        @unknown default: self = .up
        }
    }
}
#endif
