import PhotosUI
import SwiftUI

/// The listing: its category, its photos, and what is said about them.
struct ListingView: View {
    let listing: PickedListing
    @State private var picked: [PhotosPickerItem] = []
    @State private var isAtCamera = false

    var body: some View {
        NavigationStack {
            List {
                if let failure = listing.failure { RemarkText(remark: Remark(failure, .warning)) }
                Picker("Category", selection: Binding { listing.declared } set: { listing.declare($0) }) {
                    Text("None").tag(String?.none)
                    ForEach(listing.categories) { Text($0.name).tag(String?.some($0.label)) }
                }
                ForEach(Array(listing.photos.enumerated()), id: \.element.id) { index, photo in
                    PhotoRow(number: index + 1, photo: photo)
                }
                ForEach(listing.remarks ?? [], id: \.self) { RemarkText(remark: $0) }
                if let suggested = listing.suggested {
                    Button("Change to \(suggested.name)") { listing.declare(suggested.label) }
                }
            }
            .navigationTitle("Listing")
            .toolbar {
                Button("Camera", systemImage: "camera") { isAtCamera = true }
                // Compatible: JPEG where the photo is HEIC, which the library does not read.
                PhotosPicker(
                    "Photos",
                    selection: $picked,
                    maxSelectionCount: 10,
                    matching: .images,
                    preferredItemEncoding: .compatible,
                    photoLibrary: .shared()
                )
            }
            .onChange(of: picked) { listing.pick(picked) }
            .sheet(isPresented: $isAtCamera) { CameraView(listing: listing) }
        }
    }
}

private struct PhotoRow: View {
    let number: Int
    let photo: ListingPhoto<PhotosPickerItem>
    @State private var thumbnail: UIImage?

    var body: some View {
        HStack(alignment: .top) {
            Image(uiImage: thumbnail ?? UIImage())
                .resizable()
                .scaledToFit()
                .frame(width: 96, height: 96)
                .accessibilityLabel("Photo \(number)")
            VStack(alignment: .leading) {
                Text("Photo \(number)").font(.headline)
                if let remarks = photo.remarks {
                    ForEach(remarks, id: \.self) { RemarkText(remark: $0) }
                } else {
                    ProgressView()
                }
            }
        }
        .task(id: photo.data == nil) {
            guard let data = photo.data, let image = UIImage(data: data) else { return }
            thumbnail = await image.byPreparingThumbnail(ofSize: CGSize(width: 288, height: 288))
        }
    }
}

/// A line for the seller.
struct RemarkText: View {
    let remark: Remark

    var body: some View {
        Text(remark.text).foregroundStyle(colour)
    }

    private var colour: Color {
        switch remark.tone {
        case .good: .green
        case .neutral: .primary
        case .warning: .red
        }
    }
}
