/// A line for the seller.
struct Remark: Hashable, Sendable {
    /// How it is meant.
    enum Tone: Sendable {
        case good, neutral, warning
    }

    let text: String
    let tone: Tone

    init(_ text: String, _ tone: Tone) {
        self.text = text
        self.tone = tone
    }
}
