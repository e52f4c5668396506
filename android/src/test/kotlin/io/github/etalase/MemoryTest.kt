package io.github.etalase

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir
import java.io.File

/** Opening and closing leaves nothing behind. */
internal class MemoryTest {
    @TempDir
    private lateinit var folder: File

    // In a JVM of its own: what other tests free would hide a leak.
    @Test
    fun `memory does not grow`() {
        val ended = runJvm(
            folder,
            // A heap of one size and no JIT: only the library's memory is left to grow.
            "-Xint",
            "-Xms32m",
            "-Xmx32m",
            "-XX:+AlwaysPreTouch",
            "-Detalase.library=${Setup.property("etalase.library")}",
            OpenAndClose::class.java.name,
            Setup.bundle.path,
            Setup.property("etalase.opens"),
        )
        assertEquals(0, ended.status, ended.output)
        println("memory: ${ended.output.trim()}")
        // A leak raises every tenth; the allocator and the JVM go up and down, now and then by some MiB at once.
        val rises = ended.output.trim().split(' ').map { it.toInt() }.zipWithNext { before, after -> after - before }
        val median = rises.sorted()[rises.size / 2]
        // Half a KiB each, where there are enough of them to tell it from a few pages.
        val most = maxOf(Setup.property("etalase.opens").toInt() / OpenAndClose.TENTHS / 2, PAGES_KIB)
        assertTrue(median < most, "memory in KiB after each tenth: ${ended.output}")
    }

    private companion object {
        /** What a tenth may rise by however few openings it has. */
        const val PAGES_KIB = 256
    }
}

/** Opens and closes a bundle's file so many times: OpenAndClose BUNDLE COUNT. Tells the KiB in use after each tenth. */
internal object OpenAndClose {
    const val TENTHS = 10

    private fun residentKiB(): Int {
        System.gc()
        val line = File("/proc/self/status").readLines().first { it.startsWith("VmRSS:") }
        return line.filter { it.isDigit() }.toInt()
    }

    @JvmStatic
    fun main(arguments: Array<String>) {
        val (bundle, count) = arguments
        val resident = List(TENTHS) {
            repeat(count.toInt() / TENTHS) { Classifier.open(bundle).close() }
            residentKiB()
        }
        println(resident.joinToString(" "))
    }
}
