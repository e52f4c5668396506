// Photos of Android's types. They stand apart from Photo, which works on a JVM without Android too.

@file:JvmName("AndroidPhotos")

package io.github.etalase

import android.content.ContentResolver
import android.content.Context
import android.graphics.Bitmap
import android.media.Image
import android.net.Uri
import io.github.etalase.internal.BitmapSource
import io.github.etalase.internal.ImageSource
import io.github.etalase.internal.UriSource

/**
 * A bitmap. ARGB_8888 is read where it is, whether its colours are multiplied by alpha or not; others (HARDWARE, RGB_565,
 * RGBA_F16) are converted by the system at each classification. It may not be changed or recycled meanwhile; one that is
 * recycled before is an [EtalaseException.InvalidArgument] of the classification.
 */
public fun Photo.Companion.of(bitmap: Bitmap): Photo = Photo(BitmapSource(bitmap))

/**
 * A camera's image of `YUV_420_888` or `JPEG`, to be closed after its classification; one that is closed before, or has
 * another format, is an [EtalaseException.InvalidArgument] of the classification.
 *
 * @param rotationDegrees As [Photo.rotated].
 */
@JvmOverloads
public fun Photo.Companion.of(image: Image, rotationDegrees: Int = 0): Photo =
    Photo(ImageSource(image)).rotated(rotationDegrees)

/**
 * An encoded photo of a content provider or a file, such as the photo picker gives. It is read at each classification, on
 * the thread of that, which fails with [EtalaseException.Io] where it cannot be.
 */
public fun Photo.Companion.of(resolver: ContentResolver, uri: Uri): Photo = Photo(UriSource(resolver, uri))

/** As `of(context.contentResolver, uri)`. */
public fun Photo.Companion.of(context: Context, uri: Uri): Photo = of(context.contentResolver, uri)
