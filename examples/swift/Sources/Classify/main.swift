// Tells what a photo shows: Classify BUNDLE PHOTO
//
// From nothing to a label in Swift; docs/swift.md shows these lines.

import Etalase
import Foundation

let arguments = CommandLine.arguments
guard arguments.count == 3 else {
    FileHandle.standardError.write(Data("usage: Classify BUNDLE PHOTO\n".utf8))
    exit(2)
}
let (bundle, file) = (URL(fileURLWithPath: arguments[1]), URL(fileURLWithPath: arguments[2]))
do {
    // snippet: start
    let classifier = try Classifier(contentsOf: bundle)
    let labels = try classifier.labels(in: "en")
    let photo = Photo.encoded(try Data(contentsOf: file))
    let answer = try await classifier.classify(photo, options: Options(topK: 3))
    for score in answer.ranked {
        let name = labels[score.classIndex].padding(toLength: 20, withPad: " ", startingAt: 0)
        print(name, String(format: "%5.1f %%", 100 * score.score))
    }
    // snippet: end
} catch {
    FileHandle.standardError.write(Data("\(error.localizedDescription)\n".utf8))
    exit(1)
}
