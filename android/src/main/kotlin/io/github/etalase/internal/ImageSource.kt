package io.github.etalase.internal

import android.graphics.ImageFormat
import android.media.Image
import io.github.etalase.EtalaseException
import io.github.etalase.Plane

/** A camera's image. Its planes are asked for at each call: those of a closed image are an error, not freed memory. */
internal class ImageSource(private val image: Image) : PhotoSource {
    override fun classify(call: Call): ByteArray {
        val source = try {
            memory()
        } catch (e: IllegalStateException) {
            throw EtalaseException.InvalidArgument("the image is closed", e)
        }
        return source.classify(call)
    }

    private fun memory(): PhotoSource {
        val planes = image.planes.map { Plane(it.buffer, it.rowStride, it.pixelStride) }
        return when (val format = image.format) {
            ImageFormat.YUV_420_888 -> MemorySource(MemorySource.YUV420, image.width, image.height, planes)
            ImageFormat.JPEG -> MemorySource(MemorySource.ENCODED, 0, 0, planes)
            else -> throw EtalaseException.InvalidArgument("images of format $format are not known")
        }
    }
}
