internal import CEtalase

/// What an answer is to name.
///
/// ```swift
/// let options = Options(topK: 3, declared: "t-shirt")
/// ```
///
/// Lists hide classes from ``Answer/ranked`` and never change a score. Labels are canonical names (``Classifier/classes``).
/// What cannot be meant, such as a label that the bundle does not know, is an error of the classification.
public struct Options: Hashable, Sendable {
    /// At most so many classes, the best ones, at least 1; nil: all.
    public var topK: Int?

    /// Only classes whose score is at least this, 0 to 1.
    public var minimumScore: Float

    /// Only these classes; nil: all. An empty set allows none.
    public var allow: Set<String>?

    /// None of these classes.
    public var deny: Set<String>

    /// What the seller says the photo shows; nil: nothing. Then the answer has a verdict.
    public var declared: String?

    /// Options; what is left out stays the default.
    public init(
        topK: Int? = nil,
        minimumScore: Float = 0,
        allow: Set<String>? = nil,
        deny: Set<String> = [],
        declared: String? = nil
    ) {
        self.topK = topK
        self.minimumScore = minimumScore
        self.allow = allow
        self.deny = deny
        self.declared = declared
    }
}

extension Options {
    /// Calls `body` with the options as C reads them, valid until it returns.
    func read(
        cancel: OpaquePointer?,
        _ body: (EtalaseOptions) throws(EtalaseError) -> Void
    ) throws(EtalaseError) {
        var native = etalase_options_init()
        native.minimum_score = minimumScore
        native.cancel = cancel
        if let topK {
            // C's 0 means all.
            guard topK > 0 else { throw EtalaseError(.invalidArgument, "topK is \(topK); at least 1 is possible") }
            native.top_k = try unsigned(topK, "topK")
        }
        if allow == nil, deny.isEmpty, declared == nil { return try body(native) }

        let texts = Array(allow ?? []) + Array(deny) + [declared].compactMap { $0 }
        try withCStrings(texts, "a label of the options") { (labels) throws(EtalaseError) in
            // One more than there are: an empty list is a list, not NULL.
            let pointers = labels.map(Optional.some) + [nil]
            try pointers.read { (pointers) throws(EtalaseError) in
                let first = pointers.baseAddress
                let allowed = allow?.count ?? 0
                native.allow = allow == nil ? nil : first
                native.allow_count = allowed
                native.deny = first?.advanced(by: allowed)
                native.deny_count = deny.count
                native.declared = declared == nil ? nil : labels.last
                try body(native)
            }
        }
    }
}
