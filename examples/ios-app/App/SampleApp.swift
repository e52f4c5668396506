import Etalase
import PhotosUI
import SwiftUI

/// A listing whose photos are the system picker's.
typealias PickedListing = ListingModel<PhotosPickerItem>

@main
struct SampleApp: App {
    @State private var listing = PickedListing(language: "en", load: file) { () throws(EtalaseError) in
        try Classifier(path: Bundle.main.path(forResource: "default", ofType: "etalase") ?? "default.etalase")
    }

    var body: some Scene {
        WindowGroup { ListingView(listing: listing) }
    }
}

private struct NoFile: LocalizedError {
    var errorDescription: String? { "there is no file of it" }
}

@Sendable
private func file(of item: PhotosPickerItem) async throws -> Data {
    guard let data = try await item.loadTransferable(type: Data.self) else { throw NoFile() }
    return data
}
