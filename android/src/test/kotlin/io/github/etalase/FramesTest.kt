package io.github.etalase

import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestInstance
import org.junit.jupiter.api.assertThrows
import java.util.concurrent.atomic.AtomicInteger

/** Flows of camera frames. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
internal class FramesTest {
    private val classifier = Classifier.open(Setup.bundle)

    @AfterAll
    fun close() = classifier.close()

    /** Frames that count how many of them are open. */
    private inner class Camera(private val count: Int) {
        val open = AtomicInteger()
        val mostOpen = AtomicInteger()

        inner class Frame(val number: Int) : AutoCloseable {
            private val closings = AtomicInteger()

            override fun close() {
                assertEquals(1, closings.incrementAndGet())
                open.decrementAndGet()
            }

            fun photo(): Photo {
                assertEquals(0, closings.get())
                // A region as wide as its number tells answers apart.
                return Photo.encoded(Setup.photo).region(0, 0, number + 1, 100)
            }
        }

        val frames: Flow<Frame> = flow {
            repeat(count) {
                mostOpen.accumulateAndGet(open.incrementAndGet(), Math::max)
                emit(Frame(it))
                delay(1)
            }
        }
    }

    private fun numbers(answers: List<Answer>) = answers.map { it.measures.widthPx - 1 }

    private fun assertNewest(numbers: List<Int>, count: Int) {
        assertEquals(numbers.sorted(), numbers)
        assertTrue(numbers.size in 2 until count, "$numbers")
        assertEquals(count - 1, numbers.last())
    }

    @Test
    fun `stale frames are dropped and closed`(): Unit = runBlocking {
        val camera = Camera(200)
        val answers = camera.frames.classify(classifier) { it.photo() }.map { it.also { delay(5) } }.toList()
        assertNewest(numbers(answers), 200)
        assertEquals(0, camera.open.get())
        // One that is classified, one that waits, one that is handed over.
        assertTrue(camera.mostOpen.get() in 2..3, "${camera.mostOpen}")
    }

    @Test
    fun `stale photos are dropped`(): Unit = runBlocking {
        val photos = flow {
            repeat(200) {
                emit(Photo.encoded(Setup.photo).region(0, 0, it + 1, 100))
                delay(1)
            }
        }
        assertNewest(numbers(photos.classify(classifier).map { it.also { delay(5) } }.toList()), 200)
    }

    @Test
    fun `a collector that has enough leaves no frame open`(): Unit = runBlocking {
        val camera = Camera(1000)
        val answers = camera.frames.classify(classifier, Options { topK = 1 }) { it.photo() }.take(3).toList()
        assertEquals(3, answers.size)
        assertEquals(0, camera.open.get())
        assertTrue(answers.all { it.ranked.size == 1 })
    }

    @Test
    fun `an error ends the flow and leaves no frame open`(): Unit = runBlocking {
        val camera = Camera(1000)
        assertThrows<EtalaseException.Photo> {
            camera.frames.classify(classifier) { Photo.encoded(ByteArray(5)) }.toList()
        }
        assertEquals(0, camera.open.get())
        val broken = flow<Camera.Frame> {
            emit(camera.Frame(0).also { camera.open.incrementAndGet() })
            throw EtalaseException.Io("the camera is gone")
        }
        assertThrows<EtalaseException.Io> { broken.classify(classifier) { it.photo() }.toList() }
        assertEquals(0, camera.open.get())
    }
}
