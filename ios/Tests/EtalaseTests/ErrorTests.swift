import CEtalase
import Etalase
import Foundation
import XCTest

/// The kinds of errors are those of the native library.
final class ErrorTests: XCTestCase {
    private func name(_ status: Int32) -> String { etalase_status_name(status).map { String(cString: $0) } ?? "" }

    func testKindsAreTheLibrarys() {
        var names: [String] = []
        var status: Int32 = 1
        while name(status) != "unknown" {
            names.append(name(status))
            status += 1
        }
        XCTAssertEqual(names.count, 10)
        XCTAssertEqual(names, EtalaseError.Kind.allCases.map(\.rawValue))
    }

    func testTexts() throws {
        XCTAssertThrowsError(try Classifier(path: "missing.etalase")) { error in
            XCTAssertTrue(error.localizedDescription.contains("missing.etalase"), error.localizedDescription)
            XCTAssertTrue("\(error)".hasPrefix("io: "), "\(error)")
        }
    }
}
