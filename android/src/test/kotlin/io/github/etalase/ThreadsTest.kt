package io.github.etalase

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import java.io.File
import java.util.concurrent.Callable
import java.util.concurrent.CountDownLatch
import java.util.concurrent.Executors
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicInteger

/** One classifier, many threads. */
internal class ThreadsTest {
    private fun <T> onThreads(count: Int, task: (Int) -> T): List<T> {
        val executor = Executors.newFixedThreadPool(count)
        try {
            return executor.invokeAll(List(count) { Callable { task(it) } }).map { it.get() }
        } finally {
            executor.shutdownNow()
        }
    }

    @Test
    fun `eight threads get the answers of one`() {
        val files = listOf("../data/sample.jpg", "photos/grey.jpg", "photos/small.bmp", "photos/transparent.png")
        val photos = files.map { Photo.encoded(Setup.direct(File(Setup.conformance, it).readBytes())) }
        Classifier.open(Setup.bundle).use { classifier ->
            val expected = photos.map { classifier.classifyBlocking(it).scores }
            onThreads(8) { thread ->
                repeat(40) { round ->
                    val which = (thread + round) % photos.size
                    assertEquals(expected[which], classifier.classifyBlocking(photos[which]).scores)
                }
            }
        }
    }

    @Test
    fun `closing while others classify gives answers or an error`() {
        val photo = Photo.encoded(Setup.direct(Setup.photo))
        val answered = AtomicInteger()
        val refused = AtomicInteger()
        repeat(20) { round ->
            val classifier = Classifier.open(Setup.bundle)
            val busy = CountDownLatch(3)
            onThreads(4) { thread ->
                if (thread == 0) {
                    busy.await(10, TimeUnit.SECONDS)
                    Thread.sleep(round.toLong())
                    classifier.close()
                } else {
                    try {
                        while (true) {
                            classifier.classifyBlocking(photo)
                            answered.incrementAndGet()
                            busy.countDown()
                        }
                    } catch (_: EtalaseException.Closed) {
                        refused.incrementAndGet()
                    }
                }
            }
        }
        assertEquals(60, refused.get())
        assertTrue(answered.get() >= 60)
    }
}
