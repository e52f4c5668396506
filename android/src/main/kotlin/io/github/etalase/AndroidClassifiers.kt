// Opens what lies in an app. It stands apart from Classifier, which works on a JVM without Android too.

@file:JvmName("AndroidClassifiers")

package io.github.etalase

import android.content.res.AssetManager
import java.io.IOException

/**
 * Opens the bundle that is the app's asset [name]; to be called off the main thread.
 *
 * @param threads Threads for one answer, 1 to 256.
 * @throws EtalaseException.Io where there is no such asset; otherwise as [Classifier.open] of a file.
 */
@JvmOverloads
public fun Classifier.Companion.open(assets: AssetManager, name: String, threads: Int = 1): Classifier {
    val bytes = try {
        assets.open(name, AssetManager.ACCESS_BUFFER).use { it.readBytes() }
    } catch (e: IOException) {
        throw EtalaseException.Io("asset $name: ${e.message}", e)
    }
    return open(bytes, threads)
}
