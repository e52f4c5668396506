package io.github.etalase

import io.github.etalase.internal.PhotoSource
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.asCoroutineDispatcher
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeoutOrNull
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestInstance
import org.junit.jupiter.api.assertThrows
import java.util.concurrent.Executors
import kotlin.system.measureNanoTime
import kotlin.time.Duration.Companion.milliseconds

private const val CANCELLED = 8

/** The suspending classification: answers, threads, cancellation. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
internal class CoroutinesTest {
    private val classifier = Classifier.open(Setup.bundle)

    @AfterAll
    fun close() = classifier.close()

    @Test
    fun `answers as the blocking form`(): Unit = runBlocking {
        val photo = Photo.encoded(Setup.photo)
        val expected = classifier.classifyBlocking(photo).scores
        val answers = List(16) { async { classifier.classify(photo).scores } }.awaitAll()
        assertTrue(answers.all { it == expected })
    }

    @Test
    fun `runs where it is told to, and errors keep their type`(): Unit = runBlocking {
        Executors.newSingleThreadExecutor { Thread(it, "photos") }.asCoroutineDispatcher().use { dispatcher ->
            var thread: String? = null
            val photo = Photo(PhotoSource {
                thread = Thread.currentThread().name
                throw EtalaseException.Io("no photo")
            })
            assertThrows<EtalaseException.Io> { classifier.classify(photo, dispatcher = dispatcher) }
            assertTrue(thread.orEmpty().startsWith("photos"))
        }
        val closed = Classifier.open(Setup.bundle).apply { close() }
        assertThrows<EtalaseException.Closed> { closed.classify(Photo.encoded(Setup.photo)) }
    }

    @Test
    fun `cancelling takes less than one run`(): Unit = runBlocking {
        val photo = Setup.large()
        classifier.classify(photo)
        val whole = measureNanoTime { classifier.classify(photo) } / 1_000_000
        var cancelled = 0
        val took = List(10) { round ->
            val job = launch(Dispatchers.Default) { classifier.classify(photo) }
            delay((whole * round / 20).milliseconds)
            val took = measureNanoTime { job.cancelAndJoin() } / 1_000_000
            if (job.isCancelled) cancelled++
            took
        }
        // The median: a shared machine keeps a thread waiting now and then, though not for long.
        assertTrue(took.sorted()[5] <= whole, "$took ms to cancel a run of $whole ms")
        assertTrue(took.max() <= whole + 1000, "$took ms to cancel a run of $whole ms")
        assertTrue(cancelled > 0)
        repeat(10) { assertEquals(null, withTimeoutOrNull(it.milliseconds) { classifier.classify(photo) }) }
        assertTrue(classifier.classify(Photo.encoded(Setup.photo)).ranked.isNotEmpty())
    }

    @Test
    fun `it returns when nobody reads the photo any more`(): Unit = runBlocking {
        val reading = CompletableDeferred<Unit>()
        var isDone = false
        val photo = Photo(PhotoSource {
            reading.complete(Unit)
            Thread.sleep(200)
            isDone = true
            throw EtalaseException.Internal("too late to be told")
        })
        var told: Throwable? = null
        val job = launch(Dispatchers.Default) {
            try {
                classifier.classify(photo)
            } catch (e: CancellationException) {
                told = e
            } catch (e: EtalaseException) {
                told = e
            }
            assertTrue(isDone)
        }
        reading.await()
        assertFalse(isDone)
        job.cancelAndJoin()
        assertTrue(isDone)
        assertTrue(told is EtalaseException.Internal || told is CancellationException, "$told")
    }

    @Test
    fun `the flag is set on the thread that cancels`(): Unit = runBlocking {
        val reading = CompletableDeferred<Unit>()
        var told: Throwable? = null
        // Waits for its flag as the native library does, by asking with it again and again.
        val photo = Photo(PhotoSource { call ->
            reading.complete(Unit)
            generateSequence { Photo.encoded(Setup.photo).classify(call.classifier, call.options, call.cancel) }
                .first { it[0].toInt() == CANCELLED }
        })
        val job = launch(Dispatchers.Default) {
            try {
                classifier.classify(photo)
            } catch (e: CancellationException) {
                told = e
                throw e
            }
        }
        reading.await()
        job.cancelAndJoin()
        assertTrue(told is CancellationException)
    }
}
