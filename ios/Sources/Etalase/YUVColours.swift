internal import CEtalase

/// How the colours of a frame in luma and chroma are coded.
public struct YUVColours: Hashable, Sendable {
    /// Which weights made luma and chroma of a colour.
    public enum Matrix: CaseIterable, Sendable {
        /// ITU-R BT.601: JPEG, and SD video.
        case bt601
        /// ITU-R BT.709: HD video.
        case bt709
    }

    /// Which levels luma and chroma use.
    public enum Range: CaseIterable, Sendable {
        /// 0 to 255, as in JPEG.
        case full
        /// Luma 16 to 235, chroma 16 to 240, as in video.
        case video
    }

    /// The weights.
    public var matrix: Matrix

    /// The levels.
    public var range: Range

    /// By default BT.601 in full range, as in JPEG.
    public init(matrix: Matrix = .bt601, range: Range = .full) {
        self.matrix = matrix
        self.range = range
    }
}

extension YUVColours {
    func set(_ photo: inout EtalasePhoto) {
        switch matrix {
        case .bt601: photo.matrix = ETALASE_YUV_MATRIX_BT601.rawValue
        case .bt709: photo.matrix = ETALASE_YUV_MATRIX_BT709.rawValue
        }
        switch range {
        case .full: photo.range = ETALASE_YUV_RANGE_FULL.rawValue
        case .video: photo.range = ETALASE_YUV_RANGE_VIDEO.rawValue
        }
    }
}
