package io.github.etalase.internal

import java.io.ByteArrayOutputStream

/** Packs values as [Reply] reads them. */
internal class Request {
    private val bytes = ByteArrayOutputStream()

    fun int(value: Int): Request = apply {
        for (shift in 0 until Int.SIZE_BITS step Byte.SIZE_BITS) bytes.write(value ushr shift)
    }

    fun float(value: Float): Request = int(value.toRawBits())

    fun floats(values: List<Float>): Request = apply {
        int(values.size)
        values.forEach { float(it) }
    }

    fun text(text: String): Request = apply {
        val utf8 = text.toByteArray()
        int(utf8.size)
        bytes.write(utf8, 0, utf8.size)
    }

    fun texts(texts: Collection<String>): Request = apply {
        int(texts.size)
        texts.forEach { text(it) }
    }

    /** Whether there is one, and it. */
    fun optional(text: String?): Request = if (text == null) int(0) else int(1).text(text)

    fun bytes(): ByteArray = bytes.toByteArray()
}
