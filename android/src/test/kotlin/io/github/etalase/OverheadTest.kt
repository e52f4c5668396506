package io.github.etalase

import io.github.etalase.internal.Reply
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** What a call costs beside decoding and running the network: `-Detalase.calls=N` of them, by default 500. */
internal class OverheadTest {
    private val calls = Setup.property("etalase.calls").toInt()

    private fun medianUs(measured: () -> Double): Double {
        repeat(calls / 2) { measured() }
        return List(calls) { measured() }.sorted()[calls / 2]
    }

    private fun sinceUs(start: Long) = (System.nanoTime() - start) / 1e3

    @Test
    fun `a call costs microseconds`() {
        val photo = Photo.pixels(PixelFormat.RGB, 224, 224, Setup.noise(224, 224))
        Classifier.open(Setup.bundle).use { classifier ->
            // Compiles the way back, which would take thousands of runs of the network.
            val reply = photo.classify(classifier.handle, Options.DEFAULT.packed, 0)
            repeat(20_000) { Answer.of(Reply.of(reply), classifier.classes) }
            val whole = medianUs {
                val start = System.nanoTime()
                val answer = classifier.classifyBlocking(photo)
                sinceUs(start) - 1e3 * (answer.decodeMs + answer.runMs)
            }
            // The same way in and out, but no network that empties the caches between: the part that is instructions.
            val outside = photo.region(0, 0, 225, 1)
            val refused = medianUs {
                val start = System.nanoTime()
                try {
                    classifier.classifyBlocking(outside)
                } catch (_: EtalaseException.InvalidArgument) {
                }
                sinceUs(start)
            }
            println("overhead of a call: median %.1f us; of one that is refused: %.1f us".format(whole, refused))
            // 20 us are the aim; a shared machine with cold caches gets some more.
            assertTrue(whole < 250, "$whole us")
        }
    }
}
