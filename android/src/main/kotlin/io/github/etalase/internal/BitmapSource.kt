package io.github.etalase.internal

import android.graphics.Bitmap
import io.github.etalase.EtalaseException
import io.github.etalase.PixelFormat
import io.github.etalase.Plane
import java.nio.ByteBuffer

/** A bitmap: read where it is on Android, through a direct buffer elsewhere (Robolectric). */
internal class BitmapSource(private val bitmap: Bitmap) : PhotoSource {
    override fun classify(call: Call): ByteArray {
        if (bitmap.isRecycled) throw EtalaseException.InvalidArgument("the bitmap is recycled")
        if (bitmap.config == Bitmap.Config.ARGB_8888) return classify(call, bitmap)
        // Hardware bitmaps have no pixels that a CPU could read; of other configurations the system knows best.
        val copy = bitmap.copy(Bitmap.Config.ARGB_8888, false)
            ?: throw EtalaseException.InvalidArgument("the system copies no bitmap of ${bitmap.config}")
        try {
            return classify(call, copy)
        } finally {
            copy.recycle()
        }
    }

    private fun classify(call: Call, argb: Bitmap): ByteArray {
        if (NativeLibrary.isAndroid) {
            return Native.classifyBitmap(
                call.classifier,
                call.options,
                MemorySource.geometry(call),
                argb,
                call.cancel,
            )
        }
        val format = when {
            isRedFirst && argb.isPremultiplied -> PixelFormat.RGBA_PREMULTIPLIED
            isRedFirst -> PixelFormat.RGBA
            argb.isPremultiplied -> PixelFormat.BGRA_PREMULTIPLIED
            else -> PixelFormat.BGRA
        }
        val planes = listOf(Plane(pixels(argb), argb.rowBytes))
        return MemorySource(format.number, argb.width, argb.height, planes).classify(call)
    }

    private companion object {
        // Devices store red first; bitmaps of Robolectric on a PC begin with blue. One pixel tells.
        val isRedFirst: Boolean by lazy {
            val red = Bitmap.createBitmap(1, 1, Bitmap.Config.ARGB_8888)
            red.eraseColor(0xffff0000.toInt())
            pixels(red).get(0) == 0xff.toByte()
        }

        fun pixels(bitmap: Bitmap): ByteBuffer {
            val buffer = ByteBuffer.allocateDirect(bitmap.rowBytes * bitmap.height)
            bitmap.copyPixelsToBuffer(buffer)
            buffer.rewind()
            return buffer
        }
    }
}
