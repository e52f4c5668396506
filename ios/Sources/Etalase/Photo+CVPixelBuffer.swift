#if canImport(CoreVideo) && canImport(ImageIO)
import CoreVideo
import ImageIO
internal import CEtalase

extension Photo {
    /// A frame of a camera or a video: `32BGRA`, `420YpCbCr8BiPlanarFullRange` or `420YpCbCr8BiPlanarVideoRange`, read in
    /// place with the colours that it says.
    ///
    /// Its base address is locked while it is classified; nobody may write to it meanwhile. Another format is an
    /// ``EtalaseError`` of the kind `invalidArgument` of the classification.
    public static func pixelBuffer(
        _ buffer: CVPixelBuffer,
        orientation: CGImagePropertyOrientation = .up
    ) -> Photo {
        Photo(PixelBufferSource(buffer: buffer)).oriented(orientation)
    }
}

/// Unchecked, for the buffer is only read, and locked while it is.
struct PixelBufferSource: PhotoSource, @unchecked Sendable {
    let buffer: CVPixelBuffer

    func read(_ body: (EtalasePhoto) throws(EtalaseError) -> Void) throws(EtalaseError) {
        let status = CVPixelBufferLockBaseAddress(buffer, .readOnly)
        guard status == kCVReturnSuccess else {
            throw EtalaseError(.photo, "the pixel buffer cannot be locked: \(status)")
        }
        defer { CVPixelBufferUnlockBaseAddress(buffer, .readOnly) }
        var photo = etalase_photo_init()
        photo.width = try unsigned(CVPixelBufferGetWidth(buffer), "width")
        photo.height = try unsigned(CVPixelBufferGetHeight(buffer), "height")
        let format = CVPixelBufferGetPixelFormatType(buffer)
        switch format {
        case kCVPixelFormatType_32BGRA:
            photo.format = ETALASE_FORMAT_BGRA_PREMULTIPLIED.rawValue
            photo.planes.0 = packed()
        case kCVPixelFormatType_420YpCbCr8BiPlanarFullRange:
            setFrame(&photo, .full)
        case kCVPixelFormatType_420YpCbCr8BiPlanarVideoRange:
            setFrame(&photo, .video)
        default:
            throw EtalaseError(.invalidArgument, "a pixel buffer of the format 0x\(String(format, radix: 16))")
        }
        try body(photo)
    }

    private func packed() -> EtalasePlane {
        plane(
            CVPixelBufferGetBaseAddress(buffer),
            rows: CVPixelBufferGetHeight(buffer),
            rowBytes: CVPixelBufferGetWidth(buffer) * 4,
            rowStride: CVPixelBufferGetBytesPerRow(buffer)
        )
    }

    private func setFrame(_ photo: inout EtalasePhoto, _ range: YUVColours.Range) {
        photo.format = ETALASE_FORMAT_YUV420.rawValue
        YUVColours(matrix: matrix(), range: range).set(&photo)
        photo.planes.0 = plane(at: 0, sampleBytes: 1)
        let chroma = plane(at: 1, sampleBytes: 2)
        photo.planes.1 = chroma
        photo.planes.1.pixel_stride = 2
        // V lies one byte behind U.
        photo.planes.2 = photo.planes.1
        photo.planes.2.data = chroma.data?.advanced(by: 1)
        photo.planes.2.length = max(0, chroma.length - 1)
    }

    private func matrix() -> YUVColours.Matrix {
        let attachment = CVBufferCopyAttachment(buffer, kCVImageBufferYCbCrMatrixKey, nil) as? String
        // BT.2020 has no matrix here; BT.709's is the nearest.
        let hd = [kCVImageBufferYCbCrMatrix_ITU_R_709_2, kCVImageBufferYCbCrMatrix_ITU_R_2020]
        return hd.contains { $0 as String == attachment } ? .bt709 : .bt601
    }

    private func plane(at index: Int, sampleBytes: Int) -> EtalasePlane {
        plane(
            CVPixelBufferGetBaseAddressOfPlane(buffer, index),
            rows: CVPixelBufferGetHeightOfPlane(buffer, index),
            rowBytes: CVPixelBufferGetWidthOfPlane(buffer, index) * sampleBytes,
            rowStride: CVPixelBufferGetBytesPerRowOfPlane(buffer, index)
        )
    }

    private func plane(
        _ start: UnsafeMutableRawPointer?, rows: Int, rowBytes: Int, rowStride: Int
    ) -> EtalasePlane {
        // Without memory there are no bytes, which the library refuses.
        guard let start, rows > 0 else { return EtalasePlane() }
        return EtalasePlane(
            data: UnsafePointer(start.assumingMemoryBound(to: UInt8.self)),
            // The last row may end with its last pixel.
            length: (rows - 1) * rowStride + rowBytes,
            row_stride: rowStride,
            pixel_stride: 0
        )
    }
}
#endif
