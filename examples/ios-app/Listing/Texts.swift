// Answers in words. An app keeps them with its other strings, by language; the names of categories come with the bundle.

import Etalase

/// Words for answers about categories with these names.
struct Texts: Sendable {
    private static let unfamiliar = Remark("Nothing known in it: show the whole item, and little else.", .neutral)

    private let names: [String: String]

    /// - Parameter names: The categories' names for people, by label.
    init(names: [String: String]) {
        self.names = names
    }

    /// All that can be said about a photo.
    func photo(_ answer: Answer, declared: String?) -> [Remark] {
        [shows(answer.verdict, answer.best, answer.isFamiliar, declared)] + answer.advice.map(advice)
    }

    /// The one thing that helps a person with a camera most.
    func hint(_ answer: Answer, declared: String?) -> Remark {
        answer.advice.first.map(advice) ?? shows(answer.verdict, answer.best, answer.isFamiliar, declared)
    }

    /// What the photos of a listing say together; `number` gives the number of the photo at a place among them.
    func listing(_ listing: Listing, declared: String?, number: (Int) -> Int) -> [Remark] {
        [shows(listing.verdict, listing.ranked.first, listing.isFamiliar, declared)]
            + listing.odd.map { odd(number($0.photo), shows: $0.shows) }
    }

    /// On a photo that does not belong to the others, and shows this category; nil where it is unfamiliar.
    func odd(_ number: Int, shows label: String?) -> Remark {
        let what = label.map(name) ?? "something else"
        return Remark("Photo \(number) does not fit the others: it shows \(what).", .warning)
    }

    /// What a seller can do about an error of a photo; its own message is for developers.
    static func photo(_ error: EtalaseError) -> Remark {
        switch error.kind {
        case .photo: Remark("This file is no photo that can be read. Choose another.", .warning)
        case .photoTooLarge: Remark("This photo is too large. Choose another.", .warning)
        default: Remark(unavailable(error), .warning)
        }
    }

    /// On an error that the seller can do nothing about.
    static func unavailable(_ error: EtalaseError) -> String {
        "Photos cannot be checked: \(error.message)"
    }

    private func name(_ label: String) -> String {
        names[label] ?? label
    }

    private func shows(_ verdict: Verdict?, _ best: Score?, _ isFamiliar: Bool?, _ declared: String?) -> Remark {
        guard let verdict, let declared = declared.map(name) else {
            // Of what is unfamiliar, scores mean little.
            guard let best, isFamiliar ?? true else { return Texts.unfamiliar }
            return Remark("Looks like \(name(best.label)).", .neutral)
        }
        let rather = verdict.suggested.map(name)
        switch (verdict.kind, verdict.reason) {
        case (.match, _): return Remark("Shows \(declared), as declared.", .good)
        case (.mismatch, _): return Remark("Shows \(rather ?? "something else") rather than \(declared).", .warning)
        case (.unsure, .unfamiliar): return Texts.unfamiliar
        case (.unsure, _): return Remark("Could be \(declared)\(rather.map { ", or \($0)" } ?? "").", .neutral)
        }
    }

    private func advice(_ advice: Advice) -> Remark {
        switch advice {
        case .tooDark: Remark("Too dark: more light, please.", .warning)
        case .tooBright: Remark("Too bright: less light, please.", .warning)
        case .blurred: Remark("Blurred: hold still, and try again.", .warning)
        case .tooSmall: Remark("Too small: take a larger photo.", .warning)
        case .framed: Remark("Much of it is a border: crop it.", .warning)
        }
    }
}
