// Camera frames: answers to the newest, stale ones are dropped.

@file:JvmName("Frames")

package io.github.etalase

import kotlinx.coroutines.channels.BufferOverflow
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.conflate
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.launch

/**
 * Answers to the photos of a flow. While one is classified, and while the collector is busy, only the newest photo waits;
 * older ones are dropped. An error ends the flow ([Classifier.classifyBlocking] tells which).
 */
@JvmSynthetic
public fun Flow<Photo>.classify(classifier: Classifier, options: Options = Options.DEFAULT): Flow<Answer> =
    conflate().map { classifier.classify(it, options) }

/**
 * Answers to the frames of a flow that have to be closed (CameraX's `ImageProxy`, `Image`), by the [photo] of each. As for
 * photos; besides, every frame that the flow has handed over is closed: one that is answered as soon as its pixels are no
 * longer needed, one that is dropped, or left when the flow ends, at once. So at most two are open, and one on its way.
 */
@JvmSynthetic
public fun <F : AutoCloseable> Flow<F>.classify(
    classifier: Classifier,
    options: Options = Options.DEFAULT,
    photo: (F) -> Photo,
): Flow<Answer> = flow {
    coroutineScope {
        // Not conflate(): it would drop frames without closing them.
        val frames = Channel<F>(1, BufferOverflow.DROP_OLDEST) { it.close() }
        try {
            launch {
                collect { frames.send(it) }
                frames.close()
            }
            for (frame in frames) {
                emit(frame.use { classifier.classify(photo(it), options) })
            }
        } finally {
            frames.cancel()
        }
    }
}
