package io.github.etalase.android

import android.content.Context
import android.content.res.AssetManager
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.ImageFormat
import android.media.FakeImage
import android.net.Uri
import io.github.etalase.Answer
import io.github.etalase.Classifier
import io.github.etalase.EtalaseException
import io.github.etalase.Options
import io.github.etalase.Photo
import io.github.etalase.PixelFormat
import io.github.etalase.Setup
import io.github.etalase.of
import io.github.etalase.open
import org.junit.After
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode
import java.io.File
import java.io.IOException
import java.io.InputStream
import java.nio.ByteBuffer
import java.util.zip.CRC32
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream

/** Android's types, on the framework's own code for bitmaps. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], manifest = Config.NONE)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
internal class AndroidTest {
    private val context: Context get() = RuntimeEnvironment.getApplication()
    private val classifier = Classifier.open(Setup.bundle)

    @After
    fun close() = classifier.close()

    private fun answer(photo: Photo): Answer = classifier.classifyBlocking(photo)

    private fun bitmap(file: String): Bitmap {
        val bytes = File(Setup.conformance, file).readBytes()
        return BitmapFactory.decodeByteArray(bytes, 0, bytes.size)
    }

    /** The same pixels by another way: one by one, colours not multiplied by alpha. */
    private fun pixels(bitmap: Bitmap): Photo {
        val rgba = ByteBuffer.allocateDirect(4 * bitmap.width * bitmap.height)
        for (y in 0 until bitmap.height) {
            for (x in 0 until bitmap.width) {
                val argb = bitmap.getPixel(x, y)
                for (shift in listOf(16, 8, 0, 24)) rgba.put((argb shr shift).toByte())
            }
        }
        rgba.rewind()
        return Photo.pixels(PixelFormat.RGBA, bitmap.width, bitmap.height, rgba)
    }

    @Test
    fun bitmaps() {
        val bitmap = bitmap("../data/sample.jpg")
        assertEquals(Bitmap.Config.ARGB_8888, bitmap.config)
        assertEquals(answer(pixels(bitmap)).scores, answer(Photo.of(bitmap)).scores)
        val turned = answer(Photo.of(bitmap).rotated(90).region(1, 2, 30, 40))
        assertEquals(answer(pixels(bitmap).rotated(90).region(1, 2, 30, 40)).scores, turned.scores)
        assertEquals("t-shirt", answer(Photo.of(bitmap)).best?.label)
    }

    @Test
    fun transparentBitmaps() {
        val bitmap = bitmap("photos/transparent.png")
        assertTrue(bitmap.hasAlpha() && bitmap.isPremultiplied)
        val expected = answer(pixels(bitmap)).scores
        // To the last bit it is not: getPixel divides by alpha again, and rounds.
        for ((wanted, got) in expected.zip(answer(Photo.of(bitmap)).scores)) assertEquals(wanted, got, 0.01f)
        val options = BitmapFactory.Options().apply { inPremultiplied = false }
        val bytes = File(Setup.conformance, "photos/transparent.png").readBytes()
        val straight = BitmapFactory.decodeByteArray(bytes, 0, bytes.size, options)
        assertTrue(!straight.isPremultiplied)
        assertEquals(answer(Photo.encoded(bytes)).scores, answer(Photo.of(straight)).scores)
    }

    @Test
    fun otherConfigurations() {
        val bitmap = bitmap("../data/sample.jpg")
        for (name in listOf("RGB_565", "RGBA_F16", "HARDWARE")) {
            val config = Bitmap.Config.valueOf(name)
            val copy = bitmap.copy(config, false)
            // Robolectric has no graphics memory and gives ARGB_8888 for HARDWARE; a device's takes the way of RGB_565.
            if (name != "HARDWARE") assertEquals(config, copy.config)
            val expected = answer(pixels(copy.copy(Bitmap.Config.ARGB_8888, false)))
            assertEquals(name, expected.scores, answer(Photo.of(copy)).scores)
        }
    }

    @Test
    fun recycledBitmaps() {
        val bitmap = Bitmap.createBitmap(10, 10, Bitmap.Config.ARGB_8888)
        val photo = Photo.of(bitmap)
        bitmap.recycle()
        val error = assertThrows(EtalaseException.InvalidArgument::class.java) { answer(photo) }
        assertTrue(error.message.orEmpty(), "recycled" in error.message.orEmpty())
    }

    @Test
    fun images() {
        val frame = Setup.direct(File(Setup.conformance, "photos/nv21_rows_96.raw").readBytes())
        fun part(offset: Int, length: Int) = frame.duplicate().apply { position(offset).limit(offset + length) }.slice()
        val image = FakeImage(
            ImageFormat.YUV_420_888,
            90,
            120,
            FakeImage.plane(part(0, 11520), 96, 1),
            FakeImage.plane(part(11521, 5759), 96, 2),
            FakeImage.plane(part(11520, 5759), 96, 2),
        )
        val expected = Photo.nv21(90, 120, frame, rowStride = 96)
        assertEquals(answer(expected).scores, answer(Photo.of(image)).scores)
        assertEquals(answer(expected.rotated(270)).scores, answer(Photo.of(image, 270)).scores)
        val photo = Photo.of(image)
        image.close()
        assertThrows(EtalaseException.InvalidArgument::class.java) { answer(photo) }

        val jpeg = FakeImage(ImageFormat.JPEG, 90, 120, FakeImage.plane(Setup.direct(Setup.photo), 0, 0))
        assertEquals(answer(Photo.encoded(Setup.photo)).scores, answer(Photo.of(jpeg)).scores)
        val raw = FakeImage(ImageFormat.RAW10, 90, 120, FakeImage.plane(frame, 0, 0))
        assertThrows(EtalaseException.InvalidArgument::class.java) { answer(Photo.of(raw)) }
    }

    @Test
    fun uris() {
        val expected = answer(Photo.encoded(Setup.photo)).scores
        val file = Uri.fromFile(File(Setup.conformance, "../data/sample.jpg"))
        assertEquals(expected, answer(Photo.of(context, file)).scores)
        val content = Uri.parse("content://photos/1")
        val resolver = Shadows.shadowOf(context.contentResolver)
        resolver.registerInputStreamSupplier(content) { Setup.photo.inputStream() }
        val photo = Photo.of(context.contentResolver, content)
        repeat(2) { assertEquals(expected, answer(photo).scores) }
        resolver.registerInputStreamSupplier(content) {
            object : InputStream() {
                override fun read(): Int = throw IOException("the card is gone")
            }
        }
        val error = assertThrows(EtalaseException.Io::class.java) { answer(photo) }
        assertTrue(error.cause is IOException)
        val missing = Uri.fromFile(File("missing.jpg"))
        assertThrows(EtalaseException.Io::class.java) { answer(Photo.of(context, missing)) }
    }

    @Test
    fun assets() {
        val bytes = Setup.bundle.readBytes()
        val zip = File.createTempFile("assets", ".zip").apply { deleteOnExit() }
        ZipOutputStream(zip.outputStream()).use { to ->
            to.putNextEntry(
                ZipEntry("assets/mine.etalase").apply {
                    method = ZipEntry.STORED
                    size = bytes.size.toLong()
                    crc = CRC32().apply { update(bytes) }.value
                },
            )
            to.write(bytes)
        }
        AssetManager::class.java.getMethod("addAssetPath", String::class.java).invoke(context.assets, zip.path)
        Classifier.open(context.assets, "mine.etalase").use { fromAssets ->
            assertEquals(classifier.classes, fromAssets.classes)
            assertEquals(1, fromAssets.classifyBlocking(Photo.encoded(Setup.photo), Options { topK = 1 }).ranked.size)
        }
        assertThrows(EtalaseException.Io::class.java) { Classifier.open(context.assets, "missing.etalase") }
    }
}
