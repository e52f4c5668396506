import Etalase

/// Hints for the person who looks through a camera.
struct CameraHints: Sendable {
    let classifier: Classifier
    let texts: Texts
    let declared: String?

    /// The hint on a frame. For the camera's own queue, which drops the frames that come while it is kept.
    func hint(for frame: Photo) -> Remark {
        do throws(EtalaseError) {
            let answer = try classifier.classifyBlocking(frame, options: Options(topK: 1, declared: declared))
            return texts.hint(answer, declared: declared)
        } catch {
            return Remark(Texts.unavailable(error), .warning)
        }
    }
}
