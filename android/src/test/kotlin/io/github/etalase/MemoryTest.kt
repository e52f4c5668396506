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
        // A leak of 1 KiB each would be 9000; the allocator itself goes up and down by some.
        assertTrue(ended.output.substringBefore(" KiB").toInt() < 4096, ended.output)
    }
}

/** Opens and closes a bundle's file so many times: OpenAndClose BUNDLE COUNT. Tells how memory grew. */
internal object OpenAndClose {
    private fun residentKiB(): Int {
        System.gc()
        val line = File("/proc/self/status").readLines().first { it.startsWith("VmRSS:") }
        return line.filter { it.isDigit() }.toInt()
    }

    @JvmStatic
    fun main(arguments: Array<String>) {
        val (bundle, count) = arguments
        // The first tenth brings the allocator to its level.
        var before = 0
        for (i in 0 until count.toInt()) {
            if (i == count.toInt() / 10) before = residentKiB()
            Classifier.open(bundle).close()
        }
        val after = residentKiB()
        println("${after - before} KiB more, $after KiB in all, after $count classifiers")
    }
}
