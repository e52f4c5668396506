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

    private val resource = "natives/linux-${System.getProperty("os.arch").replace("amd64", "x86_64")}/libetalase.so"

    private fun onClassPath() = File(library).copyTo(File(folder, resource))

    @Test
    fun `the library on the class path, which is extracted to a file that is gone afterwards`() {
        onClassPath()
        val temporary = File(folder, "temporary").apply { mkdir() }
        assertLabels(classify("-Djava.io.tmpdir=$temporary"))
        assertEquals(emptyList<String>(), temporary.list()?.filter { "etalase" in it })
    }

    @Test
    fun `a folder for temporary files that cannot be written to is named`() {
        onClassPath()
        val none = classify("-Djava.io.tmpdir=/missing")
        assertEquals(1, none.status)
        assertTrue("/$resource" in none.output && "/missing" in none.output, none.output)
    }

    @Test
    fun `the library in a folder of java-library-path, before that of the class path`() {
        File(folder, resource).apply { parentFile.mkdirs() }.writeText("not a library")
        val libraries = File(folder, "libraries")
        val there = File(library).copyTo(File(libraries, "libetalase.so"))
        assertLabels(classify("-Djava.library.path=/missing:$libraries"))
        there.writeText("not a library")
        val broken = classify("-Djava.library.path=$libraries")
        assertEquals(1, broken.status)
        assertTrue(there.path in broken.output, broken.output)
    }

    @Test
    fun `a library that is not for a JVM is named`() {
        val other = File(System.getProperty("java.home"), "lib/libprefs.so")
        val ended = classify("-Detalase.library=$other")
        assertEquals(1, ended.status)
        assertTrue("$other is not for a JVM" in ended.output, ended.output)
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
