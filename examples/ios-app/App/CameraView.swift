import AVFoundation
import SwiftUI

/// What the camera sees, and a hint about it.
struct CameraView: View {
    let listing: PickedListing
    @State private var camera: Camera?
    @State private var hint: Remark?

    var body: some View {
        ZStack(alignment: .bottom) {
            if let camera { Viewfinder(session: camera.session).ignoresSafeArea() }
            if let remark = listing.failure.map({ Remark($0, .warning) }) ?? hint {
                RemarkText(remark: remark).padding().background(.regularMaterial, in: .rect(cornerRadius: 12)).padding()
            }
        }
        .frame(maxWidth: .infinity, maxHeight: .infinity)
        // Again when the classifier is open.
        .task(id: listing.cameraHints == nil) { await watch() }
    }

    private func watch() async {
        guard let hints = listing.cameraHints else { return }
        guard await AVCaptureDevice.requestAccess(for: .video) else {
            hint = Remark("The camera may not be used: allow it in the settings.", .warning)
            return
        }
        let camera = Camera(hints)
        self.camera = camera
        // The camera stops when this task is cancelled: when the view goes.
        for await remark in camera.remarks() { hint = remark }
    }
}

private struct Viewfinder: UIViewRepresentable {
    final class Preview: UIView {
        override class var layerClass: AnyClass { AVCaptureVideoPreviewLayer.self }
    }

    let session: AVCaptureSession

    func makeUIView(context: Context) -> Preview {
        let view = Preview()
        if let layer = view.layer as? AVCaptureVideoPreviewLayer {
            layer.session = session
            layer.videoGravity = .resizeAspectFill
        }
        return view
    }

    func updateUIView(_ view: Preview, context: Context) {}
}
