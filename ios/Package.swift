// swift-tools-version: 6.0

// Etalase for Swift. The native library is CEtalase.xcframework beside this file, of `cargo xtask package ios` (docs/swift.md); or, on
// Linux and wherever ETALASE_LIBRARY_DIR names its folder, libetalase with the header of this repository. The module is
// CEtalase either way.

import PackageDescription

let libraryFolder = Context.environment["ETALASE_LIBRARY_DIR"]

#if os(Linux)
let hasFramework = false
#else
let hasFramework = libraryFolder == nil
#endif

let native: Target = hasFramework
    ? .binaryTarget(name: "CEtalase", path: "CEtalase.xcframework")
    : .systemLibrary(name: "CEtalase", path: "Sources/CEtalase")

var linking: [LinkerSetting] = []
if !hasFramework {
    // What Rust's standard library needs of the system.
    let system = ["gcc_s", "util", "rt", "pthread", "m", "dl"]
    linking = [.linkedLibrary("etalase")]
        + system.map { .linkedLibrary($0, .when(platforms: [.linux])) }
        + (libraryFolder.map { [.unsafeFlags(["-L\($0)"])] } ?? [])
}

let package = Package(
    name: "Etalase",
    platforms: [.iOS(.v15), .macOS(.v12)],
    products: [.library(name: "Etalase", targets: ["Etalase"])],
    targets: [
        native,
        .target(
            name: "Etalase",
            dependencies: ["CEtalase"],
            resources: [.copy("PrivacyInfo.xcprivacy")],
            linkerSettings: linking
        ),
        .testTarget(name: "EtalaseTests", dependencies: ["Etalase", "CEtalase"]),
    ],
    swiftLanguageModes: [.v5, .v6]
)
