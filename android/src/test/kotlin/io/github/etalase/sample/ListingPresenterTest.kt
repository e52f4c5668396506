package io.github.etalase.sample

import io.github.etalase.Classifier
import io.github.etalase.EtalaseException
import io.github.etalase.Photo
import io.github.etalase.PixelFormat
import io.github.etalase.Setup
import io.github.etalase.internal.PhotoSource
import io.github.etalase.sample.listing.Category
import io.github.etalase.sample.listing.Draft
import io.github.etalase.sample.listing.ListingPhoto
import io.github.etalase.sample.listing.ListingPresenter
import io.github.etalase.sample.listing.ListingState
import io.github.etalase.sample.listing.Remark
import io.github.etalase.sample.listing.Texts
import io.github.etalase.sample.listing.Tone
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.job
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
import java.io.File
import java.nio.ByteBuffer
import java.util.concurrent.atomic.AtomicInteger
import kotlin.time.Duration.Companion.seconds

private const val T_SHIRT = "../data/sample.jpg"
private const val NO_PHOTO = "photos/no_photo.txt"
private const val ONE_COLOUR = "photos/one_colour.png"
private const val CANCELLED = 8

/** The sample app without its screens; "URIs" are files of the conformance list. */
internal class ListingPresenterTest {
    private val scope = CoroutineScope(Dispatchers.Default)
    private lateinit var classifier: Classifier

    @AfterEach
    fun close(): Unit = runBlocking { scope.coroutineContext.job.cancelAndJoin() }

    private fun presenter(
        photo: (String) -> Photo = { Photo.encoded(File(Setup.conformance, it).readBytes()) },
        open: () -> Classifier = { Classifier.open(Setup.bundle).also { classifier = it } },
    ) = ListingPresenter(scope, "en", photo, open)

    private suspend fun ListingPresenter.await(condition: (ListingState) -> Boolean): ListingState =
        withTimeout(60.seconds) { state.first(condition) }

    /** The state after all photos were looked at. */
    private suspend fun ListingPresenter.judged(): ListingState =
        await { state -> state.remarks != null && state.photos.all { it.remarks != null } }

    private fun good(text: String) = Remark(text, Tone.GOOD)

    private fun neutral(text: String) = Remark(text, Tone.NEUTRAL)

    private fun warning(text: String) = Remark(text, Tone.WARNING)

    @Test
    fun `categories have names in the language asked for`(): Unit = runBlocking {
        val categories = presenter().await { it.categories.isNotEmpty() }.categories
        assertEquals(10, categories.size)
        assertEquals("Long-sleeved shirt", categories.single { it.label == "longsleeve" }.name)
    }

    @Test
    fun `each declaration gets its verdict`(): Unit = runBlocking {
        val presenter = presenter()
        presenter.add(listOf(T_SHIRT))
        val undeclared = presenter.judged()
        assertEquals(listOf(neutral("Looks like T-shirt.")), undeclared.photos.single().remarks)
        assertNull(undeclared.suggested)
        for ((declared, remark) in listOf(
            "t-shirt" to good("Shows T-shirt, as declared."),
            "skirt" to warning("Shows T-shirt rather than Skirt."),
            "dress" to neutral("Could be Dress, or T-shirt."),
        )) {
            presenter.declare(declared)
            val state = presenter.judged()
            assertEquals(declared, state.declared)
            assertEquals(listOf(remark), state.photos.single().remarks)
            assertEquals(listOf(remark), state.remarks)
            assertEquals(if (declared == "t-shirt") null else "T-shirt", state.suggested?.name)
        }
    }

    @Test
    fun `a suggestion can be declared`(): Unit = runBlocking {
        val presenter = presenter()
        presenter.declare("skirt")
        presenter.add(listOf(T_SHIRT))
        presenter.declare(presenter.judged().suggested?.label)
        assertEquals(listOf(good("Shows T-shirt, as declared.")), presenter.judged().remarks)
    }

    @Test
    fun `advice stands beside the verdict`(): Unit = runBlocking {
        val presenter = presenter(photo = { Photo.pixels(PixelFormat.GREY, 200, 200, ByteBuffer.allocateDirect(40_000)) })
        presenter.declare("hat")
        presenter.add(listOf("black"))
        val remarks = presenter.judged().photos.single().remarks.orEmpty()
        assertEquals(neutral("Nothing known in it: show the whole item, and little else."), remarks.first())
        assertTrue(warning("Too dark: more light, please.") in remarks, "$remarks")
    }

    @Test
    fun `the odd one out is called by its number on the screen`(): Unit = runBlocking {
        val presenter = presenter()
        presenter.declare("t-shirt")
        presenter.add(listOf(NO_PHOTO, T_SHIRT, ONE_COLOUR))
        val state = presenter.judged()
        val unreadable = warning("This file is no photo that can be read. Choose another.")
        assertEquals(listOf(unreadable), state.photos.first().remarks)
        val odd = warning("Photo 3 does not fit the others: it shows something else.")
        assertEquals(listOf(good("Shows T-shirt, as declared."), odd), state.remarks)

        presenter.remove(ONE_COLOUR)
        assertEquals(listOf(good("Shows T-shirt, as declared.")), presenter.judged().remarks)
        assertEquals(warning("Photo 2 does not fit the others: it shows Hat."), Texts(mapOf("hat" to "Hat")).odd(2, "hat"))
    }

    @Test
    fun `the same photo counts once, and what is known stays`(): Unit = runBlocking {
        val presenter = presenter()
        presenter.add(listOf(T_SHIRT, T_SHIRT))
        val before = presenter.judged()
        assertEquals(listOf(T_SHIRT), before.photos.map { it.uri })
        presenter.add(listOf(T_SHIRT))
        presenter.add(emptyList())
        assertEquals(before, presenter.state.value)
        presenter.add(listOf(ONE_COLOUR))
        assertEquals(before.photos, presenter.state.value.photos.take(1))
        assertEquals(2, presenter.judged().photos.size)
    }

    @Test
    fun `another declaration leaves nothing of what was said about the one before`() {
        val remarks = listOf(neutral("Looks like T-shirt."))
        val state = ListingState(
            declared = null,
            photos = listOf(ListingPhoto("a", remarks)),
            remarks = remarks,
            suggested = Category("t-shirt", "T-shirt"),
        )
        assertEquals(ListingState(declared = "hat", photos = listOf(ListingPhoto("a"))), state.with(Draft("hat", listOf("a"))))
        assertEquals(state, state.with(Draft(null, listOf("a"))))
    }

    @Test
    fun `every error has words`(): Unit = runBlocking {
        val photos = mapOf(
            "a" to EtalaseException.PhotoTooLarge("a"),
            "b" to EtalaseException.Io("b"),
            "c" to EtalaseException.Internal("c"),
        )
        val presenter = presenter(photo = { throw photos.getValue(it) })
        presenter.add(photos.keys.toList())
        val state = presenter.await { state -> state.photos.all { it.remarks != null } }
        val expected = listOf(
            "This photo is too large. Choose another.",
            "This photo is not there any more. Choose another.",
            "Photos cannot be checked: c",
        )
        assertEquals(expected.map { listOf(warning(it)) }, state.photos.map { it.remarks })
        assertNull(state.remarks)
    }

    @Test
    fun `a bundle that cannot be opened is told, on the camera's screen too`(): Unit = runBlocking {
        val presenter = presenter(open = { Classifier.open(ByteArray(100)) })
        val failure = presenter.await { it.failure != null }.failure.orEmpty()
        assertTrue(failure.startsWith("Photos cannot be checked: "), failure)
        val hints = withTimeout(60.seconds) { presenter.hints(Camera(1).frames) { it.photo() }.toList() }
        assertEquals(listOf(warning(failure)), hints)
    }

    /** A photo that is looked at until its call is cancelled. */
    private fun endless(reading: CompletableDeferred<Unit>) = Photo(PhotoSource { call ->
        reading.complete(Unit)
        generateSequence { Photo.encoded(Setup.photo).classify(call.classifier, call.options, call.cancel) }
            .first { it[0].toInt() == CANCELLED }
    })

    @Test
    fun `a change cancels what is asked about the draft before`(): Unit = runBlocking {
        val reading = CompletableDeferred<Unit>()
        val presenter = presenter(photo = { if (it == "endless") endless(reading) else Photo.encoded(Setup.photo) })
        presenter.add(listOf("endless", T_SHIRT))
        reading.await()
        presenter.remove("endless")
        assertEquals(listOf(T_SHIRT), presenter.judged().photos.map { it.uri })
    }

    @Test
    fun `the end of the scope cancels calls and closes the classifier`(): Unit = runBlocking {
        val reading = CompletableDeferred<Unit>()
        val presenter = presenter(photo = { endless(reading) })
        presenter.add(listOf("endless"))
        reading.await()
        withTimeout(60.seconds) { scope.coroutineContext.job.cancelAndJoin() }
        assertThrows<EtalaseException.Closed> { classifier.labels("en") }
    }

    @Test
    fun `a scope that ends while the classifier opens leaves none open`(): Unit = runBlocking {
        val job: Job = scope.coroutineContext.job
        presenter(open = { Classifier.open(Setup.bundle).also { classifier = it; job.cancel() } }).state
        withTimeout(60.seconds) { job.join() }
        assertThrows<EtalaseException.Closed> { classifier.labels("en") }
    }

    /** Frames that count how many of them are open. */
    private class Camera(private val count: Int) {
        val open = AtomicInteger()

        inner class Frame(private val bytes: ByteArray = Setup.photo) : AutoCloseable {
            init {
                open.incrementAndGet()
            }

            override fun close() {
                open.decrementAndGet()
            }

            fun photo(): Photo = Photo.encoded(bytes)
        }

        val frames: Flow<Frame> = flow {
            repeat(count) {
                emit(Frame())
                delay(1)
            }
        }
    }

    @Test
    fun `a camera gets hints on what is declared, and its stale frames are dropped`(): Unit = runBlocking {
        val presenter = presenter()
        presenter.declare("skirt")
        val camera = Camera(200)
        val hints = presenter.hints(camera.frames) { it.photo() }.toList()
        assertTrue(hints.size in 2 until 200, "${hints.size}")
        assertEquals(setOf(warning("Shows T-shirt rather than Skirt.")), hints.toSet())
        assertEquals(0, camera.open.get())
    }

    @Test
    fun `a hint is the advice, if there is any`(): Unit = runBlocking {
        val presenter = presenter()
        val camera = Camera(1)
        val small = File(Setup.conformance, "photos/small.bmp").readBytes()
        val hint = presenter.hints(camera.frames) { Photo.encoded(small) }.first()
        assertEquals(warning("Blurred: hold still, and try again."), hint)
    }

    @Test
    fun `a frame that cannot be read is the last hint`(): Unit = runBlocking {
        val camera = Camera(1000)
        val hints = presenter().hints(camera.frames) { Photo.encoded(ByteArray(5)) }.toList()
        assertEquals(1, hints.size)
        assertTrue(hints.single().text.startsWith("Photos cannot be checked: "), "$hints")
        assertEquals(0, camera.open.get())
        // What is no error of the classifier's is a defect, and stays one.
        assertThrows<IllegalStateException> { presenter().hints(camera.frames) { error("a defect") }.take(1).toList() }
    }
}
