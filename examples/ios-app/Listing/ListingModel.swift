import Etalase
import Foundation
import Observation

/// What can be declared.
struct ListingCategory: Identifiable, Hashable, Sendable {
    /// The canonical name.
    let label: String
    /// For people.
    let name: String

    var id: String { label }
}

/// A photo of a listing.
struct ListingPhoto<Item: Hashable & Sendable>: Identifiable, Sendable {
    let item: Item
    /// Its file; nil until it is loaded.
    fileprivate(set) var data: Data?
    /// What can be said about it; nil while it is looked at.
    fileprivate(set) var remarks: [Remark]?

    var id: Item { item }
}

/// What a seller does with a listing, and what the classifier says about it. It knows nothing of views, and what a photo
/// picker calls a photo is any `Item`: tests run it on Linux.
@MainActor
@Observable
final class ListingModel<Item: Hashable & Sendable> {
    /// What can be declared; empty until the classifier is open.
    private(set) var categories: [ListingCategory] = []
    /// The declared category's label; nil: none yet.
    private(set) var declared: String?
    private(set) var photos: [ListingPhoto<Item>] = []
    /// On all photos together; nil without photos, and while they are looked at.
    private(set) var remarks: [Remark]?
    /// What the seller should rather declare.
    private(set) var suggested: ListingCategory?
    /// Why there will be no answers at all.
    private(set) var failure: String?

    private var classifier: Classifier?
    @ObservationIgnored private let load: @Sendable (Item) async throws -> Data
    @ObservationIgnored private var judging: Task<Void, Never>?

    /// - Parameters:
    ///   - language: Of the categories' names, a BCP 47 tag.
    ///   - load: A photo's file.
    ///   - open: Opens the classifier; called on a background thread, once. The classifier is closed with the last
    ///     reference to it.
    init(
        language: String,
        load: @escaping @Sendable (Item) async throws -> Data,
        open: @escaping @Sendable () throws(EtalaseError) -> Classifier
    ) {
        self.load = load
        let opening = Task.detached {
            Result { () throws(EtalaseError) in
                let classifier = try open()
                return (classifier, try classifier.labels(in: language))
            }
        }
        Task { [weak self] in
            let opened = await opening.value
            self?.begin(opened)
        }
    }

    /// For the camera; nil until the classifier is open.
    var cameraHints: CameraHints? {
        classifier.map { CameraHints(classifier: $0, texts: texts, declared: declared) }
    }

    /// The seller says what the photos show.
    func declare(_ label: String?) {
        guard label != declared else { return }
        declared = label
        // A verdict holds for one declaration.
        for index in photos.indices { photos[index].remarks = nil }
        judge()
    }

    /// The seller has picked these photos.
    func pick(_ items: [Item]) {
        guard items != photos.map(\.item) else { return }
        let known = Dictionary(photos.map { ($0.item, $0) }) { first, _ in first }
        photos = items.map { known[$0] ?? ListingPhoto(item: $0) }
        judge()
    }

    private var texts: Texts {
        Texts(names: Dictionary(uniqueKeysWithValues: categories.map { ($0.label, $0.name) }))
    }

    private func begin(_ opened: Result<(Classifier, [String]), EtalaseError>) {
        switch opened {
        case .success(let (classifier, names)):
            categories = zip(classifier.classes, names).map(ListingCategory.init)
            self.classifier = classifier
            judge()
        case .failure(let error):
            failure = Texts.unavailable(error)
        }
    }

    /// Asks about all photos: it takes milliseconds. What is asked about the listing as it was before is cancelled.
    private func judge() {
        judging?.cancel()
        (remarks, suggested) = (nil, nil)
        guard let classifier, !photos.isEmpty else { return }
        judging = Task {
            let answers = await answers(of: classifier)
            // Photos without an answer are left out, so a place among answers is not one among photos.
            let places = answers.indices.filter { answers[$0] != nil }
            if Task.isCancelled || places.isEmpty { return }
            do throws(EtalaseError) {
                let listing = try classifier.listing(of: answers.compactMap(\.self), declared: declared)
                remarks = texts.listing(listing, declared: declared) { places[$0] + 1 }
                suggested = categories.first { $0.label == listing.verdict?.suggested }
            } catch {
                failure = Texts.unavailable(error)
            }
        }
    }

    /// The answers in the order of the photos, each shown when it is there.
    private func answers(of classifier: Classifier) async -> [Answer?] {
        var answers = [Answer?](repeating: nil, count: photos.count)
        let options = Options(topK: 1, declared: declared)
        await withTaskGroup(of: (Int, Look).self) { group in
            for (index, photo) in photos.enumerated() {
                let load = load
                group.addTask { (index, await Look(at: photo, load: load, classifier, options)) }
            }
            for await (index, look) in group {
                // Nothing is shown about a listing that has changed meanwhile.
                if Task.isCancelled { return }
                photos[index].data = look.data
                photos[index].remarks = look.remarks(texts, declared: declared)
                answers[index] = try? look.answer.get()
            }
        }
        return answers
    }
}

/// What came of a look at a photo.
private struct Look: Sendable {
    let data: Data?
    let answer: Result<Answer, any Error>

    init<Item>(
        at photo: ListingPhoto<Item>,
        load: (Item) async throws -> Data,
        _ classifier: Classifier,
        _ options: Options
    ) async {
        var data = photo.data
        do {
            let loaded = if let data { data } else { try await load(photo.item) }
            data = loaded
            answer = .success(try await classifier.classify(.encoded(loaded), options: options))
        } catch {
            answer = .failure(error)
        }
        self.data = data
    }

    func remarks(_ texts: Texts, declared: String?) -> [Remark] {
        switch answer {
        case .success(let answer): texts.photo(answer, declared: declared)
        case .failure(let error as EtalaseError): [Texts.photo(error)]
        case .failure(let error): [Remark("This photo cannot be loaded: \(error.localizedDescription)", .warning)]
        }
    }
}
