// swift-tools-version: 6.0

// What of the sample app is no user interface, to be compiled and tested without Xcode; the app is EtalaseSample.xcodeproj.

import PackageDescription

let package = Package(
    name: "EtalaseSample",
    platforms: [.iOS(.v17), .macOS(.v14)],
    dependencies: [.package(name: "Etalase", path: "../../ios")],
    targets: [
        .target(
            name: "SampleListing",
            dependencies: ["Etalase"],
            path: "Listing",
            // Observation of Swift 6.0 for Linux refers to a function (of fatal errors) that none of its libraries has.
            linkerSettings: [.unsafeFlags(["-Xlinker", "--allow-shlib-undefined"], .when(platforms: [.linux]))]
        ),
        .testTarget(name: "SampleListingTests", dependencies: ["SampleListing"], path: "Tests"),
    ],
    swiftLanguageModes: [.v5, .v6]
)
