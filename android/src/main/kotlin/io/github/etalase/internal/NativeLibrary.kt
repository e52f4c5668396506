package io.github.etalase.internal

import io.github.etalase.EtalaseException
import java.io.File
import java.io.FileNotFoundException
import java.io.IOException
import java.util.Locale

/**
 * Loads the native library, once.
 *
 * From the file that the system property `etalase.library` names; else, on Android, from the app's libraries; else from a
 * folder of `java.library.path`; else from the resource `/natives/<os>-<arch>/` of the class path, such as the JAR of
 * `cargo xtask package jar` has.
 */
internal object NativeLibrary {
    val isAndroid: Boolean = System.getProperty("java.vm.name") == "Dalvik"

    // Kept rather than thrown from an initializer, which would answer the second call with a bare NoClassDefFoundError.
    private val failure: Throwable? by lazy {
        try {
            load()
            null
        } catch (e: LinkageError) {
            e
        } catch (e: IOException) {
            e
        } catch (e: SecurityException) {
            e
        }
    }

    /** Makes sure that native methods can be called; [EtalaseException.Internal] tells what was looked for in vain. */
    fun require() {
        failure?.let { throw EtalaseException.Internal("the native library cannot be loaded: ${it.message}", it) }
    }

    private fun load() {
        val named = System.getProperty("etalase.library")
        if (named == null && isAndroid) return System.loadLibrary("etalase")
        val file = named ?: (onLibraryPath() ?: extracted(resource())).path
        System.load(file)
        try {
            Native.freeCancel(0)
        } catch (e: UnsatisfiedLinkError) {
            // C's library has the same name.
            throw IOException("$file is not for a JVM (built without the feature jni); etalase.library names another", e)
        }
    }

    private val fileName: String get() = System.mapLibraryName("etalase")

    // Rather than System.loadLibrary, which doesn't tell a library that isn't there from one that can't be loaded.
    private fun onLibraryPath(): File? {
        val folders = System.getProperty("java.library.path").orEmpty().split(File.pathSeparator)
        return folders.filter { it.isNotEmpty() }.map { File(it, fileName).absoluteFile }.firstOrNull { it.isFile }
    }

    private fun resource(): String {
        val os = System.getProperty("os.name").lowercase(Locale.ROOT)
        val system = when {
            os.startsWith("mac") -> "macos"
            os.startsWith("windows") -> "windows"
            else -> os
        }
        val arch = System.getProperty("os.arch")
        val machine = if (arch == "amd64") "x86_64" else arch
        return "/natives/$system-$machine/$fileName"
    }

    // The system's loader takes files only.
    private fun extracted(resource: String): File {
        val stream = NativeLibrary::class.java.getResourceAsStream(resource) ?: throw FileNotFoundException(
            "no system property etalase.library, no $fileName on java.library.path, no $resource on the class path",
        )
        val folder = System.getProperty("java.io.tmpdir")
        try {
            val file = File.createTempFile("etalase", fileName)
            file.deleteOnExit()
            stream.use { from -> file.outputStream().use { to -> from.copyTo(to) } }
            return file
        } catch (e: IOException) {
            throw IOException("$resource cannot be extracted to $folder (-Djava.io.tmpdir): ${e.message}", e)
        }
    }
}
