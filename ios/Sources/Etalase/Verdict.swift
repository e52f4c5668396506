internal import CEtalase

/// The verdict on what a seller declared.
public struct Verdict: Hashable, Sendable {
    /// What a declaration deserves. Raw values are stable names, the same in every language of Etalase.
    public enum Kind: String, CaseIterable, Sendable {
        /// The photo shows what was declared.
        case match
        /// It shows another category.
        case mismatch
        /// A person should look.
        case unsure
    }

    /// Why. Raw values are stable names, the same in every language of Etalase.
    public enum Reason: String, CaseIterable, Sendable {
        /// The declared category's score is high enough.
        case declaredIsLikely = "declared_is_likely"
        /// Another category's score is far ahead.
        case anotherIsLikely = "another_is_likely"
        /// Neither is.
        case closeCall = "close_call"
        /// The photo is unlike those that the network was trained on: its scores mean little.
        case unfamiliar
    }

    /// What the declaration deserves.
    public let kind: Kind

    /// Why.
    public let reason: Reason

    /// The best class's canonical name, where that is another than the declared one and the photo is familiar; else nil.
    public let suggested: String?
}

extension Verdict {
    /// Nil where nothing was declared.
    init?(_ native: EtalaseVerdict, classes: [String]) {
        guard let kind = Kind(native: native.kind) else { return nil }
        self.init(
            kind: kind,
            reason: Reason(native: native.reason),
            suggested: canonicalName(of: native.suggested, in: classes)
        )
    }
}

extension Verdict.Kind {
    init?(native: UInt32) {
        switch native {
        case ETALASE_VERDICT_KIND_NONE.rawValue: return nil
        case ETALASE_VERDICT_KIND_MATCH.rawValue: self = .match
        case ETALASE_VERDICT_KIND_MISMATCH.rawValue: self = .mismatch
        // One of a later library: what this program does not know, a person should look at.
        default: self = .unsure
        }
    }
}

extension Verdict.Reason {
    init(native: UInt32) {
        switch native {
        case ETALASE_REASON_DECLARED_IS_LIKELY.rawValue: self = .declaredIsLikely
        case ETALASE_REASON_ANOTHER_IS_LIKELY.rawValue: self = .anotherIsLikely
        case ETALASE_REASON_UNFAMILIAR.rawValue: self = .unfamiliar
        default: self = .closeCall
        }
    }
}
