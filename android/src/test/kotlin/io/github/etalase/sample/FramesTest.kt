package io.github.etalase.sample

import io.github.etalase.sample.listing.frames
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.yield
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** The sample app's flow of a camera's callback. */
internal class FramesTest {
    private class Frame : AutoCloseable {
        var closings = 0

        override fun close() {
            closings++
        }
    }

    private var onFrame: (Frame) -> Unit = {}
    private var isStopped = false
    private val frames = frames<Frame>({ onFrame = it }, { isStopped = true })

    @Test
    fun `the newest of the frames that wait is handed over, others are closed`(): Unit = runBlocking {
        val all = List(4) { Frame() }
        val flow = frames<Frame>({ send -> all.forEach(send) }, { isStopped = true })
        assertEquals(listOf(all.last()), flow.take(1).toList())
        assertEquals(listOf(1, 1, 1, 0), all.map { it.closings })
        assertTrue(isStopped)
    }

    @Test
    fun `frames that come when nobody collects any more are closed`(): Unit = runBlocking {
        val first = Frame()
        val waiting = Frame()
        val late = Frame()
        val job = launch { frames.collect { yield() } }
        yield()
        onFrame(first)
        // Handed to a collector that does not come to it any more.
        onFrame(waiting)
        job.cancelAndJoin()
        onFrame(late)
        assertTrue(isStopped)
        assertEquals(listOf(1, 1, 1), listOf(first, waiting, late).map { it.closings })
    }
}
