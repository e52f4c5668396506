package io.github.etalase

import java.nio.ByteBuffer

/**
 * One plane of a frame: the bytes of a buffer between its position and its limit.
 *
 * They are not copied, and are read while a photo is classified; until then and meanwhile nobody may change or free them.
 * A buffer in the JVM's heap works too, for the price of a copy at each call. Rows go from the top; the last one may end
 * with its last sample.
 */
public class Plane @JvmOverloads constructor(
    buffer: ByteBuffer,
    /** Bytes from a row to the next; 0: rows without gaps. */
    public val rowStride: Int,
    /** Bytes from a sample to the next: 1, or 2 where two planes are interleaved. */
    public val pixelStride: Int = 1,
) {
    // Native code sees a direct buffer from its start, whatever its position.
    internal val bytes: ByteBuffer = buffer.slice()
}
