import AVFoundation
import Etalase

/// The back camera, with a hint on each frame that there is time for.
///
/// Unchecked, for nothing changes but the session, which is used on its queue; a view shows it, as it is made for.
final class Camera: NSObject, @unchecked Sendable {
    let session = AVCaptureSession()

    private let hints: CameraHints
    private let stream = AsyncStream.makeStream(of: Remark.self, bufferingPolicy: .bufferingNewest(1))
    // Starting and stopping wait for frames: they need a queue of their own.
    private let sessionQueue = DispatchQueue(label: "session")
    private let frameQueue = DispatchQueue(label: "frames")

    init(_ hints: CameraHints) {
        self.hints = hints
    }

    /// Starts the camera; it stops when nobody waits for hints any more. To be called once.
    func remarks() -> AsyncStream<Remark> {
        let continuation = stream.continuation
        continuation.onTermination = { _ in
            self.sessionQueue.async { self.session.stopRunning() }
        }
        sessionQueue.async {
            do {
                try self.configure()
                self.session.startRunning()
            } catch {
                continuation.yield(Remark("No camera can be used: \(error.localizedDescription)", .warning))
                continuation.finish()
            }
        }
        return stream.stream
    }

    private func configure() throws {
        guard let device = AVCaptureDevice.default(for: .video) else { throw NoCamera() }
        let input = try AVCaptureDeviceInput(device: device)
        let output = AVCaptureVideoDataOutput()
        // What the camera gives without a conversion, and the library reads in place.
        output.videoSettings = [
            kCVPixelBufferPixelFormatTypeKey as String: kCVPixelFormatType_420YpCbCr8BiPlanarFullRange
        ]
        output.setSampleBufferDelegate(self, queue: frameQueue)
        session.beginConfiguration()
        defer { session.commitConfiguration() }
        guard session.canAddInput(input), session.canAddOutput(output) else { throw NoCamera() }
        session.addInput(input)
        session.addOutput(output)
    }
}

extension Camera: AVCaptureVideoDataOutputSampleBufferDelegate {
    // While the queue is kept, AVFoundation drops the frames that come.
    func captureOutput(_ output: AVCaptureOutput, didOutput sample: CMSampleBuffer, from connection: AVCaptureConnection) {
        guard let buffer = CMSampleBufferGetImageBuffer(sample) else { return }
        // The app is held upright: its project allows no other way.
        stream.continuation.yield(hints.hint(for: .pixelBuffer(buffer, orientation: .right)))
    }
}

private struct NoCamera: LocalizedError {
    var errorDescription: String? { "this device has none" }
}
