package io.github.etalase.internal

import io.github.etalase.Plane
import io.github.etalase.YuvColours
import java.nio.ByteBuffer

/** One call of the native classification, apart from the photo's bytes. */
internal class Call(
    val classifier: Long,
    val options: ByteArray,
    /** EXIF's number, 0 as 1. */
    val orientation: Int,
    /** Left, top, width, height in px of the upright photo; null: the whole photo. */
    val region: IntArray?,
    /** A cancel flag's handle, 0 for none. */
    val cancel: Long,
)

/** Where a photo's bytes are; read when it is classified. */
internal fun interface PhotoSource {
    /** Runs the call on this thread: the native reply. */
    fun classify(call: Call): ByteArray
}

/** An encoded file, packed pixels or a frame in memory. */
internal class MemorySource(
    private val format: Int,
    private val width: Int,
    private val height: Int,
    private val planes: List<Plane>,
    private val colours: YuvColours = YuvColours.DEFAULT,
) : PhotoSource {
    override fun classify(call: Call): ByteArray {
        val geometry = geometry(call)
        geometry[0] = format
        geometry[1] = width
        geometry[2] = height
        geometry[4] = colours.matrix.ordinal
        geometry[5] = colours.range.ordinal
        planes.forEachIndexed { i, plane ->
            geometry[10 + 2 * i] = plane.rowStride
            geometry[11 + 2 * i] = plane.pixelStride
        }
        return Native.classify(call.classifier, call.options, geometry, bytes(0), bytes(1), bytes(2), call.cancel)
    }

    private fun bytes(plane: Int): Any? = planes.getOrNull(plane)?.let { nativeBytes(it.bytes) }

    companion object {
        /** The format of an encoded file; pixels' are those of `PixelFormat`. */
        const val ENCODED: Int = 0

        /** The format of a frame in three planes. */
        const val YUV420: Int = 11

        /** The numbers of a photo as `describe` in `ffi/src/jni` reads them, with what the call says. */
        fun geometry(call: Call): IntArray {
            val geometry = IntArray(16)
            geometry[3] = call.orientation
            call.region?.copyInto(geometry, 6)
            return geometry
        }
    }
}

/**
 * [buffer]'s bytes between position and limit as native methods take them: direct memory as it is, which must begin at
 * position 0 (a slice), the memory of the heap as an array.
 */
internal fun nativeBytes(buffer: ByteBuffer): Any {
    val length = buffer.remaining()
    if (buffer.isDirect && length > 0) return buffer
    val isWholeArray = buffer.hasArray() && buffer.arrayOffset() == 0 && buffer.array().size == length
    return if (isWholeArray) buffer.array() else ByteArray(length).also { buffer.duplicate().get(it) }
}
