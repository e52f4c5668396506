package io.github.etalase

import kotlinx.coroutines.Job
import org.junit.jupiter.api.Assertions.assertTrue
import java.io.File
import java.util.concurrent.TimeUnit

/** How a JVM ended. */
internal class Ended(val status: Int, val output: String)

/** Runs a JVM of its own in [folder], which is on its class path; neither Android nor JUnit is. */
internal fun runJvm(folder: File, vararg arguments: String): Ended {
    val needed = listOf(Classifier::class.java, Job::class.java, Unit::class.java, Setup::class.java)
        .map { it.protectionDomain.codeSource.location.path }
    val java = File(System.getProperty("java.home"), "bin/java").path
    val output = File(folder, "output.txt")
    val classPath = (needed + folder.path).joinToString(File.pathSeparator)
    val process = ProcessBuilder(listOf(java, "-cp", classPath) + arguments)
        .redirectErrorStream(true)
        .redirectOutput(output)
        .start()
    assertTrue(process.waitFor(30, TimeUnit.MINUTES))
    return Ended(process.exitValue(), output.readText())
}
