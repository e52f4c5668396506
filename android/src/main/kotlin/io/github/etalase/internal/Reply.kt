package io.github.etalase.internal

import io.github.etalase.EtalaseException

/**
 * Reads the values of a native method's reply one after the other; little endian, lengths in front.
 *
 * Byte by byte rather than through a `ByteBuffer`, whose many small methods are what a call costs before they are compiled.
 */
internal class Reply private constructor(private val bytes: ByteArray) {
    // Behind the status.
    private var position = 1

    fun int(): Int {
        val at = position
        position = at + Int.SIZE_BYTES
        return (bytes[at].toInt() and BYTE) or
            (bytes[at + 1].toInt() and BYTE shl 8) or
            (bytes[at + 2].toInt() and BYTE shl 16) or
            (bytes[at + 3].toInt() shl 24)
    }

    fun long(): Long {
        val low = int().toLong() and 0xffff_ffff
        return int().toLong() shl 32 or low
    }

    fun float(): Float = Float.fromBits(int())

    fun double(): Double = Double.fromBits(long())

    fun floats(): FloatArray = FloatArray(int()) { float() }

    fun text(): String = text(int())

    fun texts(): List<String> = list { text() }

    inline fun <T> list(item: () -> T): List<T> {
        val count = int()
        return ArrayList<T>(count).apply { repeat(count) { add(item()) } }
    }

    private fun text(length: Int): String {
        val at = position
        position = at + length
        return String(bytes, at, length, Charsets.UTF_8)
    }

    companion object {
        private const val BYTE = 0xff

        /** The reply's values, or the error that it tells. */
        fun of(bytes: ByteArray): Reply {
            val status = bytes[0].toInt()
            val reply = Reply(bytes)
            if (status != 0) throw EtalaseException.of(status, reply.text(bytes.size - 1))
            return reply
        }
    }
}
