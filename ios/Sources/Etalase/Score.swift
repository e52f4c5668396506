internal import CEtalase

/// A class with its score.
public struct Score: Hashable, Sendable {
    /// The class's canonical name; ``Classifier/labels(in:)`` has those of languages.
    public let label: String

    /// The class's place in ``Classifier/classes``, from 0.
    public let classIndex: Int

    /// 0 to 1, calibrated where the bundle says how. All classes' scores sum to 1.
    public let score: Float
}

extension Score {
    init?(_ native: EtalaseScore, classes: [String]) {
        guard let label = canonicalName(of: native.class_index, in: classes) else { return nil }
        self.init(label: label, classIndex: Int(native.class_index), score: native.score)
    }
}

/// The canonical name of a native number of a class; nil for `ETALASE_NO_CLASS`.
func canonicalName(of classIndex: UInt32, in classes: [String]) -> String? {
    guard let index = Int(exactly: classIndex), classes.indices.contains(index) else { return nil }
    return classes[index]
}
