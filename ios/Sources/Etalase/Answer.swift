internal import CEtalase

/// What a photo shows.
public struct Answer: Hashable, Sendable {
    /// The classes that the options ask for, best first.
    public let ranked: [Score]

    /// Every class's score, 0 to 1, in the order of ``Classifier/classes``, whatever the options hide.
    public let scores: [Float]

    /// 0 (nothing that the network knows) to 1 (as in training), familiar from 0.5 on; nil where the bundle doesn't tell.
    public let familiarity: Float?

    /// On what was declared; nil where nothing was.
    public let verdict: Verdict?

    /// What can be said about the photo as a photo.
    public let measures: Measures

    /// What could be better about the photo, in the order of ``Advice``.
    public let advice: [Advice]

    /// What about the photo could not be followed, such as a rare colour profile; in English.
    public let notes: [String]

    /// From encoded bytes (or pixels) to the network's input, milliseconds.
    public let decodeMs: Double

    /// From there to the finished answer, milliseconds.
    public let runMs: Double

    /// Whether the network knows the like of it, so that its scores mean something; nil where the bundle doesn't tell.
    public var isFamiliar: Bool? { Etalase.isFamiliar(familiarity) }

    /// The best of ``ranked``; nil where the options leave none.
    public var best: Score? { ranked.first }
}

/// Memory for a native answer. What an ``Answer`` does not keep is on the stack, for a call that takes no detour through
/// the allocator.
struct AnswerRoom {
    private static let notesBytes = 1024
    private let classes: [String]
    private var ranked: [Score] = []
    private var scores: [Float]
    private var notes: [String] = []
    private var told = etalase_answer_init()

    init(classes: [String]) {
        self.classes = classes
        scores = Array(repeating: 0, count: classes.count)
    }

    /// Lets a call fill it.
    mutating func fill(_ call: (UnsafeMutablePointer<EtalaseAnswer>) -> Int32) -> Int32 {
        withUnsafeTemporaryAllocation(of: EtalaseScore.self, capacity: classes.count) { ranked in
            withUnsafeTemporaryAllocation(of: CChar.self, capacity: AnswerRoom.notesBytes) { notes in
                told.ranked = ranked.baseAddress
                told.ranked_capacity = ranked.count
                told.notes = notes.baseAddress
                told.notes_capacity = notes.count
                let status = scores.withUnsafeMutableBufferPointer { scores in
                    told.scores = scores.baseAddress
                    told.scores_capacity = scores.count
                    return call(&told)
                }
                // Memory that a failed call has not written is not read.
                if status == 0 { keep(ranked.prefix(told.ranked_count), notes.baseAddress) }
                return status
            }
        }
    }

    private mutating func keep(_ told: Slice<UnsafeMutableBufferPointer<EtalaseScore>>, _ text: UnsafePointer<CChar>?) {
        ranked.reserveCapacity(told.count)
        for native in told {
            if let score = Score(native, classes: classes) { ranked.append(score) }
        }
        if let text, self.told.notes_length > 0 {
            notes = String(cString: text).split(separator: "\n").map(String.init)
        }
    }

    /// What the call said.
    var answer: Answer {
        Answer(
            ranked: ranked,
            scores: scores,
            familiarity: familiarity(told.familiarity),
            verdict: Verdict(told.verdict, classes: classes),
            measures: Measures(told.measures),
            advice: Advice.all(in: told.advice),
            notes: notes,
            decodeMs: told.decode_ms,
            runMs: told.run_ms
        )
    }
}

func isFamiliar(_ familiarity: Float?) -> Bool? {
    familiarity.map { Double($0) >= ETALASE_FAMILIAR_FROM }
}

/// Native code says -1 for nil.
func familiarity(_ native: Float) -> Float? {
    native < 0 ? nil : native
}
