package io.github.etalase

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir
import java.io.File

/** The example in a JVM of its own: without Android on the class path, with and without a native library there. */
internal class PlainJvmTest {
    @TempDir
    private lateinit var folder: File

    private val library = Setup.property("etalase.library")

    private fun classify(vararg options: String, photo: String = File(Setup.conformance, "../data/sample.jpg").path) =
        runJvm(folder, *options, "ClassifyKt", Setup.bundle.path, photo)

    private fun assertLabels(ended: Ended) {
        assertEquals(0, ended.status, ended.output)
        assertEquals(3, ended.output.trim().lines().size, ended.output)
        assertTrue(ended.output.startsWith("T-shirt"), ended.output)
    }

    @Test
    fun `the library by its path`() = assertLabels(classify("-Detalase.library=$library"))

    @Test
    fun `the library on the class path`() {
        val arch = System.getProperty("os.arch").replace("amd64", "x86_64")
        File(library).copyTo(File(folder, "natives/linux-$arch/libetalase.so"))
        assertLabels(classify())
    }

    @Test
    fun `no library is an error that says what was looked for`() {
        val none = classify("-Dos.name=Plan9")
        assertEquals(1, none.status)
        assertTrue("/natives/plan9-" in none.output && "etalase.library" in none.output, none.output)
        val missing = classify("-Detalase.library=/missing.so")
        assertEquals(1, missing.status)
        assertTrue("/missing.so" in missing.output, missing.output)
    }

    @Test
    fun `a photo that is none`() {
        val ended = classify("-Detalase.library=$library", photo = Setup.bundle.path)
        assertEquals(1, ended.status)
        assertEquals(1, ended.output.trim().lines().size, ended.output)
    }
}
