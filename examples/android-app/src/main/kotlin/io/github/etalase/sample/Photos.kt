package io.github.etalase.sample

import android.content.Context
import android.graphics.ImageDecoder
import android.net.Uri
import android.os.Build
import androidx.camera.core.ImageProxy
import io.github.etalase.Photo
import io.github.etalase.Plane
import io.github.etalase.of
import java.io.IOException

// What the library leaves to the system.
private val SYSTEMS = setOf("image/heic", "image/heif", "image/avif")

// Enough for any network, and little to keep.
private const val LONG_SIDE_PX = 1024

/** The photo that the picker named. */
internal fun photo(context: Context, uri: Uri): Photo {
    if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.P && context.contentResolver.getType(uri) in SYSTEMS) {
        try {
            val source = ImageDecoder.createSource(context.contentResolver, uri)
            // It turns the photo upright, too.
            val bitmap = ImageDecoder.decodeBitmap(source) { decoder, info, _ ->
                decoder.allocator = ImageDecoder.ALLOCATOR_SOFTWARE
                decoder.setTargetSampleSize(maxOf(1, maxOf(info.size.width, info.size.height) / LONG_SIDE_PX))
            }
            return Photo.of(bitmap)
        } catch (_: IOException) {
            // The library has an error for what cannot be read.
        }
    }
    return Photo.of(context, uri)
}

/** CameraX's frame, to be turned as the device is held. */
internal fun photo(frame: ImageProxy): Photo {
    val (y, u, v) = frame.planes.map { Plane(it.buffer, it.rowStride, it.pixelStride) }
    return Photo.yuv420(frame.width, frame.height, y, u, v).rotated(frame.imageInfo.rotationDegrees)
}
