package io.github.etalase.internal

import io.github.etalase.EtalaseException
import java.io.File
import java.io.FileNotFoundException
import java.io.IOException
import java.util.Locale

/**
 * Loads the native library, once.
 *
 * From the file that the system property `etalase.library` names; else, on Android, from the app's libraries; else from
 * the resource `/natives/<os>-<arch>/` of the class path.
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
        val file = System.getProperty("etalase.library")
        when {
            file != null -> System.load(file)
            isAndroid -> System.loadLibrary("etalase")
            else -> System.load(extracted(resource()).path)
        }
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
        return "/natives/$system-$machine/${System.mapLibraryName("etalase")}"
    }

    // The system's loader takes files only.
    private fun extracted(resource: String): File {
        val stream = NativeLibrary::class.java.getResourceAsStream(resource)
            ?: throw FileNotFoundException("no $resource on the class path, and no system property etalase.library")
        val file = File.createTempFile("etalase", resource.substringAfterLast('/'))
        file.deleteOnExit()
        stream.use { from -> file.outputStream().use { to -> from.copyTo(to) } }
        return file
    }
}
