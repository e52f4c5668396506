/// How a stored picture has to be turned to stand upright. Raw values are EXIF's numbers.
public enum Orientation: Int, CaseIterable, Sendable {
    /// It stands upright.
    case upright = 1
    /// Mirrored left to right.
    case mirrored = 2
    /// Turn by half.
    case rotate180 = 3
    /// Mirrored top to bottom.
    case mirroredRotate180 = 4
    /// Mirror along the diagonal from the upper left.
    case mirroredRotate270 = 5
    /// Turn by 90 degrees clockwise.
    case rotate90 = 6
    /// Mirror along the diagonal from the upper right.
    case mirroredRotate90 = 7
    /// Turn by 270 degrees clockwise.
    case rotate270 = 8
}
