internal import CEtalase

/// Measures of a photo, taken where it is resized to the network's input.
public struct Measures: Hashable, Sendable {
    /// Width of the part that was looked at, px of the upright photo.
    public let widthPx: Int

    /// Height of the part that was looked at, px of the upright photo.
    public let heightPx: Int

    /// Mean luma (BT.601), 0 black to 1 white.
    public let brightness: Float

    /// Share of pixels without detail in the shadows, 0 to 1.
    public let dark: Float

    /// Share of pixels without detail in the highlights, or of a white background, 0 to 1.
    public let bright: Float

    /// 0 smooth (blurred), 1 clean edges, beyond it noise.
    public let sharpness: Float

    /// Share of the photo in borders of one colour, 0 to 1.
    public let uniformBorder: Float
}

extension Measures {
    init(_ native: EtalaseMeasures) {
        self.init(
            widthPx: Int(clamping: native.width_px),
            heightPx: Int(clamping: native.height_px),
            brightness: native.brightness,
            dark: native.dark,
            bright: native.bright,
            sharpness: native.sharpness,
            uniformBorder: native.uniform_border
        )
    }
}
