internal import CEtalase

/// How pixels lie in memory, 8 bits a channel, rows from the top.
public enum PixelFormat: CaseIterable, Sendable {
    /// Red, green, blue.
    case rgb
    /// Blue, green, red.
    case bgr
    /// Red, green, blue, alpha that the colours are not multiplied by; transparent pixels lie over white.
    case rgba
    /// Blue, green, red, alpha that the colours are not multiplied by.
    case bgra
    /// Red, green, blue multiplied by the alpha that follows.
    case rgbaPremultiplied
    /// Blue, green, red multiplied by the alpha that follows: what iOS draws.
    case bgraPremultiplied
    /// Grey levels.
    case grey
}

extension PixelFormat {
    var native: UInt32 {
        switch self {
        case .rgb: return ETALASE_FORMAT_RGB.rawValue
        case .bgr: return ETALASE_FORMAT_BGR.rawValue
        case .rgba: return ETALASE_FORMAT_RGBA.rawValue
        case .bgra: return ETALASE_FORMAT_BGRA.rawValue
        case .rgbaPremultiplied: return ETALASE_FORMAT_RGBA_PREMULTIPLIED.rawValue
        case .bgraPremultiplied: return ETALASE_FORMAT_BGRA_PREMULTIPLIED.rawValue
        case .grey: return ETALASE_FORMAT_GREY.rawValue
        }
    }
}
