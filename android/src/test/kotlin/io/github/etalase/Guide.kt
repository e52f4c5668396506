// What docs/kotlin.md shows, here so that it is compiled. GuideTest compares the lines.

@file:Suppress("UNUSED_VARIABLE", "unused")

package io.github.etalase

import android.content.Context
import android.graphics.Bitmap
import android.media.Image
import android.net.Uri
import androidx.camera.core.ImageProxy
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.launchIn
import kotlinx.coroutines.flow.onEach
import java.nio.ByteBuffer

private class Guide(private val classifier: Classifier, private val scope: CoroutineScope) {
    private fun open(context: Context) {
        val classifier = Classifier.open(context.assets, "mine.etalase")
    }

    private fun photos(
        jpeg: ByteArray,
        bitmap: Bitmap,
        image: Image,
        context: Context,
        uri: Uri,
        pixels: ByteBuffer,
        nv21: ByteBuffer,
    ) {
        Photo.encoded(jpeg)
        Photo.of(context, uri)
        Photo.of(bitmap)
        Photo.of(image, rotationDegrees = 90)
        Photo.pixels(PixelFormat.RGBA, width = 640, height = 480, pixels, rowStride = 2560)
        Photo.nv21(width = 640, height = 480, nv21).rotated(90).region(x = 0, y = 80, width = 480, height = 480)
    }

    private suspend fun options(photo: Photo) {
        val options = Options {
            topK = 3
            minimumScore = 0.05f
            deny = setOf("hat")
        }
        val answer = classifier.classify(photo, options)
    }

    private suspend fun verdict(photo: Photo, ask: (String) -> Unit, suggest: (String?) -> Unit) {
        val answer = classifier.classify(photo, Options { declared = "shoes" })
        val verdict = answer.verdict
        when (verdict?.kind) {
            Verdict.Kind.MISMATCH -> suggest(verdict.suggested)
            Verdict.Kind.UNSURE -> ask("a person")
            else -> Unit
        }
        if (Advice.BLURRED in answer.advice) ask("for another photo")
    }

    private suspend fun listing(photos: List<Photo>) {
        val listing = classifier.listing(photos.map { classifier.classify(it) }, declared = "shoes")
        for (odd in listing.odd) println("photo ${odd.photo} shows ${odd.shows}")
    }

    private fun cameraX(frame: ImageProxy): Photo {
        val (y, u, v) = frame.planes.map { Plane(it.buffer, it.rowStride, it.pixelStride) }
        val photo = Photo.yuv420(frame.width, frame.height, y, u, v).rotated(frame.imageInfo.rotationDegrees)
        return photo
    }

    private fun frames(frames: Flow<ImageProxy>, show: (Score?) -> Unit) {
        frames.classify(classifier, Options { topK = 1 }) { cameraX(it) }
            .onEach { answer -> show(answer.best) }
            .launchIn(scope)
    }

    private suspend fun errors(photo: Photo, tell: (String?) -> Unit) {
        try {
            classifier.classify(photo)
        } catch (e: EtalaseException) {
            when (e) {
                is EtalaseException.Photo, is EtalaseException.PhotoTooLarge -> tell("Choose another photo")
                else -> tell(e.message)
            }
        }
    }
}
