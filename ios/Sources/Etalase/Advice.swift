internal import CEtalase

/// A remark about a photo, for the person who takes it. Raw values are stable names, the same in every language of Etalase.
public enum Advice: String, CaseIterable, Sendable {
    /// Too little light.
    case tooDark = "too_dark"
    /// Highlights without detail.
    case tooBright = "too_bright"
    /// Out of focus, or moved.
    case blurred
    /// Too few pixels.
    case tooSmall = "too_small"
    /// Much of the photo is a border of one colour.
    case framed
}

extension Advice {
    private var bit: UInt32 {
        switch self {
        case .tooDark: return ETALASE_ADVICE_TOO_DARK.rawValue
        case .tooBright: return ETALASE_ADVICE_TOO_BRIGHT.rawValue
        case .blurred: return ETALASE_ADVICE_BLURRED.rawValue
        case .tooSmall: return ETALASE_ADVICE_TOO_SMALL.rawValue
        case .framed: return ETALASE_ADVICE_FRAMED.rawValue
        }
    }

    /// The remarks of the bits of an answer, in order.
    static func all(in bits: UInt32) -> [Advice] {
        bits == 0 ? [] : allCases.filter { bits & $0.bit != 0 }
    }
}
