import Foundation
internal import CEtalase

/// Frames of cameras and videos in 4:2:0: the chroma planes have half of the width and height, which are even.
extension Photo {
    /// A frame in one buffer: luma, then chroma interleaved as U, V in rows as long as luma's.
    ///
    /// - Parameters:
    ///   - width: Width as stored, px.
    ///   - height: Height as stored, px.
    ///   - rowStride: Bytes from a row to the next; 0: rows without gaps.
    public static func nv12(
        width: Int, height: Int, rowStride: Int = 0, data: Data, colours: YUVColours = YUVColours()
    ) -> Photo {
        frame(ETALASE_FORMAT_NV12.rawValue, width, height, [Plane(data: data, rowStride: rowStride)], colours)
    }

    /// A frame as ``nv12(width:height:rowStride:data:colours:)``, with V before U.
    public static func nv21(
        width: Int, height: Int, rowStride: Int = 0, data: Data, colours: YUVColours = YUVColours()
    ) -> Photo {
        frame(ETALASE_FORMAT_NV21.rawValue, width, height, [Plane(data: data, rowStride: rowStride)], colours)
    }

    /// A frame in one buffer: luma, U, V one after the other without gaps.
    public static func i420(
        width: Int, height: Int, data: Data, colours: YUVColours = YUVColours()
    ) -> Photo {
        frame(ETALASE_FORMAT_I420.rawValue, width, height, [Plane(data: data)], colours)
    }

    /// A frame in three planes with strides of their own.
    public static func yuv420(
        width: Int, height: Int, y: Plane, u: Plane, v: Plane, colours: YUVColours = YUVColours()
    ) -> Photo {
        frame(ETALASE_FORMAT_YUV420.rawValue, width, height, [y, u, v], colours)
    }

    private static func frame(
        _ format: UInt32, _ width: Int, _ height: Int, _ planes: [Plane], _ colours: YUVColours
    ) -> Photo {
        Photo(PixelSource(format: format, width: width, height: height, planes: planes, colours: colours))
    }
}
