// swift-tools-version: 6.0

import PackageDescription

let package = Package(
    name: "Classify",
    platforms: [.macOS(.v12)],
    dependencies: [.package(name: "Etalase", path: "../../ios")],
    targets: [.executableTarget(name: "Classify", dependencies: ["Etalase"])],
    swiftLanguageModes: [.v5, .v6]
)
