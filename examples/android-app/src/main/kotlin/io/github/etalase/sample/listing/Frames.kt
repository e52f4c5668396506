package io.github.etalase.sample.listing

import kotlinx.coroutines.channels.BufferOverflow
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.emitAll
import kotlinx.coroutines.flow.flow

/**
 * The frames that a callback gets from [start] on until [stop], the newest where several wait. Who collects closes them.
 *
 * Not `callbackFlow`: a frame that it holds when the collector goes would stay open, and a camera has few of them.
 */
internal fun <F : AutoCloseable> frames(start: (onFrame: (F) -> Unit) -> Unit, stop: () -> Unit): Flow<F> = flow {
    val newest = Channel<F>(1, BufferOverflow.DROP_OLDEST) { it.close() }
    try {
        start { frame -> if (newest.trySend(frame).isFailure) frame.close() }
        emitAll(newest)
    } finally {
        newest.cancel()
        stop()
    }
}
