package io.github.etalase

import java.io.File
import java.nio.ByteBuffer

/** What the build says where things are, and photos for tests. */
internal object Setup {
    val root = File(property("etalase.root"))
    val conformance = File(property("etalase.conformance"))
    val bundle = File(property("etalase.bundle"))
    val photo: ByteArray = File(conformance, "../data/sample.jpg").readBytes()

    fun property(name: String): String = checkNotNull(System.getProperty(name)) { "-D$name is not set" }

    fun direct(bytes: ByteArray): ByteBuffer {
        val buffer = ByteBuffer.allocateDirect(bytes.size)
        buffer.put(bytes)
        buffer.rewind()
        return buffer
    }

    /** Pixels that take tens of milliseconds to be resized. */
    fun large(): Photo = Photo.pixels(PixelFormat.RGB, 8000, 6000, ByteBuffer.allocateDirect(8000 * 6000 * 3))

    /** Noise, [width] x [height] px. */
    fun noise(width: Int, height: Int): ByteBuffer {
        var state = 1
        return direct(
            ByteArray(width * height * 3) {
                state = state * 1664525 + 1013904223
                (state ushr 24).toByte()
            },
        )
    }
}
