// From a task to a thread and back. The native call does not run on Swift's own threads, of which there is one a core, and
// which must not be kept.

import Foundation

/// One native call on behalf of a task.
///
/// Unchecked, for what changes is read and written under the lock only.
final class QueuedCall: @unchecked Sendable {
    /// As many calls at once as there are cores: more would be no faster, and take a photo's memory each. A concurrent
    /// DispatchQueue would be handed all calls at once, which on Linux keeps Swift's own jobs waiting behind them.
    private static let queue: OperationQueue = {
        let queue = OperationQueue()
        queue.name = "Etalase"
        queue.maxConcurrentOperationCount = ProcessInfo.processInfo.activeProcessorCount
        return queue
    }()

    private let cancel: Cancel
    private let run: @Sendable () -> Result<Answer, EtalaseError>
    private let lock = NSLock()
    private var waiting: CheckedContinuation<Result<Answer, EtalaseError>, Never>?
    private var isCancelled = false

    init(_ cancel: Cancel, _ run: @escaping @Sendable () -> Result<Answer, EtalaseError>) {
        self.cancel = cancel
        self.run = run
    }

    /// The result, when the call is over or will never begin. To be asked for once.
    func answer() async -> Result<Answer, EtalaseError> {
        await withTaskCancellationHandler {
            await withCheckedContinuation { begin($0) }
        } onCancel: {
            cancelled()
        }
    }

    private func begin(_ continuation: CheckedContinuation<Result<Answer, EtalaseError>, Never>) {
        let isTooLate = lock.withLock { () -> Bool in
            if !isCancelled { waiting = continuation }
            return isCancelled
        }
        if isTooLate { return continuation.resume(returning: QueuedCall.neverBegun) }
        let operation = BlockOperation {
            guard let continuation = self.take() else { return }
            continuation.resume(returning: self.run())
        }
        operation.qualityOfService = QualityOfService(Task.currentPriority)
        QueuedCall.queue.addOperation(operation)
    }

    /// A call that runs ends soon, by its flag. One that waits for a thread ends at once: others' calls may be before it.
    private func cancelled() {
        cancel.cancel()
        lock.withLock { isCancelled = true }
        take()?.resume(returning: QueuedCall.neverBegun)
    }

    /// Who takes it, resumes it.
    private func take() -> CheckedContinuation<Result<Answer, EtalaseError>, Never>? {
        lock.withLock {
            defer { waiting = nil }
            return waiting
        }
    }

    private static var neverBegun: Result<Answer, EtalaseError> {
        .failure(EtalaseError(.cancelled, "the task was cancelled"))
    }
}

extension QualityOfService {
    /// That of a task's priority: what waits for the photo decides how soon it is looked at.
    fileprivate init(_ priority: TaskPriority) {
        switch priority {
        case .background: self = .background
        case .utility: self = .utility
        case .userInitiated: self = .userInitiated
        default: self = .default
        }
    }
}
