package io.github.etalase

import io.github.etalase.internal.Call
import io.github.etalase.internal.MemorySource
import io.github.etalase.internal.PhotoSource
import java.nio.ByteBuffer

/**
 * A photo: bytes of a file, or pixels as an app or a camera has them.
 *
 * It keeps what it was made of and reads it each time that it is classified: pixels in a direct buffer stay where they are,
 * arrays are copied once. Nobody may change or free them meanwhile. What cannot be meant (a buffer shorter than announced,
 * a negative width) is an [EtalaseException.InvalidArgument] of the classification. A photo itself does not change: any
 * number of threads may use it.
 *
 * Bitmaps, camera images and content URIs: `Photo.of` for Android.
 */
public class Photo internal constructor(
    private val source: PhotoSource,
    private val orientation: Int = 0,
    private val region: IntArray? = null,
) {
    /**
     * The photo, turned clockwise by [degrees] (a multiple of 90) to stand upright, as CameraX's `rotationDegrees`. It
     * replaces an earlier [orientation]. Of an encoded photo: what is left to do after its own EXIF orientation.
     *
     * @throws EtalaseException.InvalidArgument where it is not a multiple of 90.
     */
    public fun rotated(degrees: Int): Photo {
        val exif = when (Math.floorMod(degrees, FULL_TURN)) {
            0 -> 1
            90 -> 6
            180 -> 3
            270 -> 8
            else -> throw EtalaseException.InvalidArgument("$degrees degrees are not a multiple of 90")
        }
        return orientation(exif)
    }

    /**
     * The photo with EXIF's number of an orientation, 1 to 8 (0, "undefined", as 1): how it has to be turned and mirrored to
     * stand upright. It replaces an earlier one. Of an encoded photo: what is left to do after its own.
     */
    public fun orientation(exif: Int): Photo = Photo(source, exif, region)

    /**
     * The part of the upright photo that counts, in px from its left and top edge.
     *
     * @throws EtalaseException.InvalidArgument where width or height is less than 1; the classification throws it where the
     *     part is not inside of the photo.
     */
    public fun region(x: Int, y: Int, width: Int, height: Int): Photo {
        if (width < 1 || height < 1) throw EtalaseException.InvalidArgument("a region of $width x $height px")
        return Photo(source, orientation, intArrayOf(x, y, width, height))
    }

    /** Runs the call on this thread: the native reply. */
    internal fun classify(classifier: Long, options: ByteArray, cancel: Long): ByteArray =
        source.classify(Call(classifier, options, orientation, region, cancel))

    /** Makes photos. */
    public companion object {
        private const val FULL_TURN = 360

        /** A JPEG, PNG, WebP, GIF (its first frame) or BMP file's bytes. */
        @JvmStatic
        public fun encoded(bytes: ByteArray): Photo = encoded(ByteBuffer.wrap(bytes))

        /** A JPEG, PNG, WebP, GIF (its first frame) or BMP file: the buffer's bytes between its position and its limit. */
        @JvmStatic
        public fun encoded(bytes: ByteBuffer): Photo =
            Photo(MemorySource(MemorySource.ENCODED, 0, 0, listOf(Plane(bytes, 0))))

        /**
         * Pixels in one buffer, between its position and its limit.
         *
         * @param width Width as stored, px.
         * @param height Height as stored, px.
         * @param rowStride Bytes from a row to the next (of luma, in frames); 0: rows without gaps.
         * @param colours Read where [format] is one of frames.
         */
        @JvmStatic
        @JvmOverloads
        public fun pixels(
            format: PixelFormat,
            width: Int,
            height: Int,
            pixels: ByteBuffer,
            rowStride: Int = 0,
            colours: YuvColours = YuvColours.DEFAULT,
        ): Photo = Photo(MemorySource(format.number, width, height, listOf(Plane(pixels, rowStride)), colours))

        /** A camera's frame in [PixelFormat.NV21], [width] x [height] px; otherwise as [pixels]. */
        @JvmStatic
        @JvmOverloads
        public fun nv21(
            width: Int,
            height: Int,
            frame: ByteBuffer,
            rowStride: Int = 0,
            colours: YuvColours = YuvColours.DEFAULT,
        ): Photo = pixels(PixelFormat.NV21, width, height, frame, rowStride, colours)

        /**
         * A frame in 4:2:0 in three planes with strides of their own, [width] x [height] px: `YUV_420_888`, and any other.
         * The chroma planes have half of the width and height.
         */
        @JvmStatic
        @JvmOverloads
        public fun yuv420(
            width: Int,
            height: Int,
            y: Plane,
            u: Plane,
            v: Plane,
            colours: YuvColours = YuvColours.DEFAULT,
        ): Photo = Photo(MemorySource(MemorySource.YUV420, width, height, listOf(y, u, v), colours))
    }
}
