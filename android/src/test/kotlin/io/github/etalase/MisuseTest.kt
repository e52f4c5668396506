package io.github.etalase

import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
import java.io.File
import java.nio.ByteBuffer

/** What cannot be meant is an error with a type; and what looks wrong but is not works. */
internal class MisuseTest {
    private val classifier = Classifier.open(Setup.bundle)
    private val expected = scores(Photo.encoded(Setup.photo))

    @AfterEach
    fun close() = classifier.close()

    private fun scores(photo: Photo) = classifier.classifyBlocking(photo).scores

    private inline fun <reified E : EtalaseException> fails(about: String, noinline call: () -> Unit) {
        val message = assertThrows<E> { call() }.message.orEmpty()
        assertTrue(about in message, message)
        assertEquals(expected.size, classifier.classes.size)
    }

    @Test
    fun `a closed classifier`() {
        val answer = classifier.classifyBlocking(Photo.encoded(Setup.photo))
        classifier.close()
        classifier.close()
        fails<EtalaseException.Closed>("closed") { scores(Photo.encoded(Setup.photo)) }
        fails<EtalaseException.Closed>("closed") { classifier.labels("en") }
        fails<EtalaseException.Closed>("closed") { classifier.inspect() }
        fails<EtalaseException.Closed>("closed") { classifier.listing(listOf(answer)) }
        assertEquals(10, classifier.classes.size)
    }

    @Test
    fun `buffers of every kind`() {
        val padded = ByteArray(3) + Setup.photo + ByteArray(5)
        val heap = ByteBuffer.wrap(padded, 3, Setup.photo.size)
        val direct = Setup.direct(padded).apply { position(3).limit(3 + Setup.photo.size) }
        for (buffer in listOf(heap, heap.slice(), heap.asReadOnlyBuffer(), direct, direct.asReadOnlyBuffer())) {
            val position = buffer.position()
            val photo = Photo.encoded(buffer)
            buffer.position(buffer.limit())
            assertEquals(expected, scores(photo), "$buffer")
            buffer.position(position)
        }
        val pixels = Setup.noise(40, 30)
        val inHeap = ByteArray(pixels.remaining()).also { pixels.duplicate().get(it) }
        assertEquals(
            scores(Photo.pixels(PixelFormat.RGB, 40, 30, pixels)),
            scores(Photo.pixels(PixelFormat.RGB, 40, 30, ByteBuffer.wrap(inHeap).asReadOnlyBuffer())),
        )
    }

    @Test
    fun `empty buffers`() {
        for (empty in listOf(ByteBuffer.allocate(0), ByteBuffer.allocateDirect(0))) {
            fails<EtalaseException.Photo>("") { scores(Photo.encoded(empty)) }
            fails<EtalaseException.Bundle>("") { Classifier.open(empty) }
            fails<EtalaseException.InvalidArgument>("") { scores(Photo.pixels(PixelFormat.RGB, 4, 4, empty)) }
        }
    }

    @Test
    fun `numbers that describe no photo`() {
        val pixels = Setup.noise(40, 30)
        fun fails(photo: () -> Photo) = fails<EtalaseException.InvalidArgument>("") { scores(photo()) }
        fails { Photo.pixels(PixelFormat.RGB, 40, 31, pixels) }
        fails { Photo.pixels(PixelFormat.RGB, 0, 30, pixels) }
        fails { Photo.pixels(PixelFormat.RGB, -40, 30, pixels) }
        fails { Photo.pixels(PixelFormat.RGB, 40, 30, pixels, rowStride = -120) }
        fails { Photo.pixels(PixelFormat.RGB, 40, 30, pixels, rowStride = Int.MAX_VALUE) }
        fails { Photo.nv21(41, 30, pixels) }
        fails<EtalaseException.PhotoTooLarge>("pixels") {
            scores(Photo.pixels(PixelFormat.RGB, Int.MAX_VALUE, Int.MAX_VALUE, pixels))
        }
        val plane = Plane(pixels, Int.MAX_VALUE, Int.MAX_VALUE)
        fails { Photo.yuv420(40, 30, plane, plane, plane) }
        val photo = Photo.pixels(PixelFormat.RGB, 40, 30, pixels)
        fails { photo.region(0, 0, 0, 0) }
        fails { photo.region(-1, 0, 10, 10) }
        fails { photo.region(30, 0, 11, 10) }
        fails { photo.region(Int.MAX_VALUE, 0, Int.MAX_VALUE, 10) }
        fails { photo.orientation(9) }
        fails { photo.orientation(-1) }
        fails { photo.rotated(45) }
    }

    @Test
    fun turns() {
        val photo = Photo.pixels(PixelFormat.RGB, 40, 30, Setup.noise(40, 30))
        for ((degrees, exif) in listOf(0 to 1, 90 to 6, 180 to 3, 270 to 8, -90 to 8, 450 to 6)) {
            assertEquals(scores(photo.orientation(exif)), scores(photo.rotated(degrees)))
        }
        val measures = classifier.classifyBlocking(photo.rotated(90).region(2, 3, 20, 30)).measures
        assertEquals(listOf(20, 30), listOf(measures.widthPx, measures.heightPx))
    }

    @Test
    fun options() {
        val photo = Photo.encoded(Setup.photo)
        fun fails(about: String, set: Options.Builder.() -> Unit) =
            fails<EtalaseException.InvalidArgument>(about) { classifier.classifyBlocking(photo, Options(set)) }
        fails("t-shrt") { allow = setOf("t-shirt", "t-shrt") }
        fails("gloves") { deny = setOf("gloves") }
        fails("T-shirt") { declared = "T-shirt" }
        fails("declared") { declared = "\ud800" }
        fails("declared") { declared = "" }
        fails("topK") { topK = 0 }
        fails("topK") { topK = -1 }
        fails("") { minimumScore = 1.5f }
        fails("") { minimumScore = Float.NaN }
        fails<EtalaseException.InvalidArgument>("") { classifier.listing(emptyList()) }
        assertEquals(3, classifier.classifyBlocking(photo, Options.Builder().setTopK(3).build()).ranked.size)
        assertEquals(null, classifier.classifyBlocking(photo, Options { allow = emptySet() }).best)
    }

    @Test
    fun `languages and classes`() {
        fails<EtalaseException.InvalidArgument>("xx") { classifier.labels("xx") }
        fails<EtalaseException.InvalidArgument>("10") { classifier.label(10, "en") }
        fails<EtalaseException.InvalidArgument>("-1") { classifier.label(-1, "en") }
        assertTrue("en" in classifier.languages)
        assertEquals(classifier.classes.size, classifier.labels("en").size)
        assertTrue(classifier.inspect().startsWith("{"))
    }

    @Test
    fun `paths and threads`() {
        fails<EtalaseException.Io>("") { Classifier.open(Setup.conformance) }
        fails<EtalaseException.Io>("missing") { Classifier.open("missing.etalase") }
        fails<EtalaseException.Io>("") { Classifier.open("") }
        fails<EtalaseException.Io>("") { Classifier.open(File("\u0000")) }
        fails<EtalaseException.InvalidArgument>("threads") { Classifier.open(Setup.bundle, threads = -1) }
        fails<EtalaseException.InvalidArgument>("threads") { Classifier.open(Setup.bundle, threads = 100_000) }
        Classifier.openDefault(threads = 2).use { assertEquals(classifier.classes, it.classes) }
    }

    @Test
    fun `bundles in memory`() {
        val bytes = Setup.bundle.readBytes()
        Classifier.open(bytes).close()
        Classifier.open(ByteBuffer.wrap(bytes).asReadOnlyBuffer()).close()
        val within = Setup.direct(ByteArray(7) + bytes).apply { position(7) }
        Classifier.open(within).use { assertEquals(classifier.classes, it.classes) }
        fails<EtalaseException.Bundle>("") { Classifier.open(bytes.copyOf(1000)) }
    }

    @Test
    fun `cancel flags`() {
        val photo = Photo.encoded(Setup.photo)
        val cancel = Cancel()
        assertEquals(expected, classifier.classifyBlocking(photo, cancel = cancel).scores)
        cancel.cancel()
        fails<EtalaseException.Cancelled>("") { classifier.classifyBlocking(photo, cancel = cancel) }
        cancel.close()
        cancel.close()
        cancel.cancel()
        fails<EtalaseException.InvalidArgument>("cancel") { classifier.classifyBlocking(photo, cancel = cancel) }
    }

    @Test
    fun `a panic is an error, and the next call works`() {
        for (place in listOf("core", "binding")) {
            val panics = Photo.encoded("etalase: panic in the $place".toByteArray())
            fails<EtalaseException.Internal>("") { scores(panics) }
            assertEquals(expected, scores(Photo.encoded(Setup.photo)))
        }
    }
}
