extension Classifier {
    /// Says what a photo shows, on another thread, with the priority of the task. As many calls run at once as there are
    /// cores; others wait.
    ///
    /// Where the task is cancelled, so is the work, and this returns as soon as nobody reads the photo's bytes any more:
    /// within the time of one operation of the network, or of one photo's decoding.
    ///
    /// - Throws: ``EtalaseError`` as ``classifyBlocking(_:options:cancel:)``; of the kind `cancelled` where the task is
    ///   cancelled.
    public func classify(
        _ photo: Photo,
        options: Options = Options()
    ) async throws(EtalaseError) -> Answer {
        let cancel = try Cancel()
        let call = QueuedCall(cancel) {
            Result { () throws(EtalaseError) -> Answer in
                try self.classifyBlocking(photo, options: options, cancel: cancel)
            }
        }
        return try await call.answer().get()
    }
}
