internal import CEtalase

/// What the photos of one listing show together.
public struct Listing: Hashable, Sendable {
    /// A photo that does not belong to the others of its listing.
    public struct Odd: Hashable, Sendable {
        /// Its place in the listing, from 0.
        public let photo: Int

        /// The canonical name of the class that it shows; nil where it is unfamiliar.
        public let shows: String?
    }

    /// All classes, best first.
    public let ranked: [Score]

    /// Every class's score, 0 to 1, in the order of ``Classifier/classes``.
    public let scores: [Float]

    /// That of the most familiar photo, as ``Answer/familiarity``.
    public let familiarity: Float?

    /// On what was declared; nil where nothing was.
    public let verdict: Verdict?

    /// The photos that do not belong to the others, in their order.
    public let odd: [Odd]

    /// Whether a photo of it is familiar, as ``Answer/isFamiliar``.
    public var isFamiliar: Bool? { Etalase.isFamiliar(familiarity) }
}

/// Memory for a native listing.
struct ListingRoom {
    private let classes: [String]
    private var scores: [Float]
    private var odd: [EtalaseOdd]
    private var told = etalase_listing_init()

    init(classes: [String], photoCount: Int) {
        self.classes = classes
        scores = Array(repeating: 0, count: classes.count)
        odd = Array(repeating: EtalaseOdd(), count: photoCount)
    }

    /// Lets a call fill it.
    mutating func fill(_ call: (UnsafeMutablePointer<EtalaseListing>) -> Int32) -> Int32 {
        scores.withUnsafeMutableBufferPointer { scores in
            odd.withUnsafeMutableBufferPointer { odd in
                told.scores = scores.baseAddress
                told.scores_capacity = scores.count
                told.odd = odd.baseAddress
                told.odd_capacity = odd.count
                return call(&told)
            }
        }
    }

    /// What the call said.
    var listing: Listing {
        Listing(
            ranked: ranked,
            scores: scores,
            familiarity: familiarity(told.familiarity),
            verdict: Verdict(told.verdict, classes: classes),
            odd: odd.prefix(told.odd_count).map { odd in
                Listing.Odd(photo: Int(clamping: odd.photo), shows: canonicalName(of: odd.shows, in: classes))
            }
        )
    }

    private var ranked: [Score] {
        let all = zip(classes, scores).enumerated().map { index, scored in
            Score(label: scored.0, classIndex: index, score: scored.1)
        }
        // Equal scores stay in the order of the classes, as in answers.
        return all.sorted { ($1.score, $0.classIndex) < ($0.score, $1.classIndex) }
    }
}
