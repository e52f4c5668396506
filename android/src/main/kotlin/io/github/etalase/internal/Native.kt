package io.github.etalase.internal

/**
 * The native methods, bound by name: R8 must not rename them (consumer-rules.pro).
 *
 * A reply is a status byte, then a message or packed values ([Reply]). Handles are numbers, and a closed one is answered
 * with an error. [NativeLibrary.require] comes before the first call. Parameters of Android's types are [Any], so that the
 * class loads on a JVM that has none of them.
 */
internal object Native {
    @JvmStatic
    external fun openFile(path: ByteArray, threads: Int): ByteArray

    /** [bundle]: a `byte[]` or a direct `ByteBuffer`, which is copied. */
    @JvmStatic
    external fun openMemory(bundle: Any, threads: Int): ByteArray

    @JvmStatic
    external fun openDefault(threads: Int): ByteArray

    @JvmStatic
    external fun close(classifier: Long): ByteArray

    @JvmStatic
    external fun inspect(classifier: Long): ByteArray

    @JvmStatic
    external fun names(classifier: Long, language: ByteArray): ByteArray

    /** The planes: `byte[]`, direct `ByteBuffer` or null. [cancel]: 0 for none. */
    @JvmStatic
    external fun classify(
        classifier: Long,
        options: ByteArray,
        geometry: IntArray,
        first: Any?,
        second: Any?,
        third: Any?,
        cancel: Long,
    ): ByteArray

    /** Only in the library for Android. [bitmap]: an `android.graphics.Bitmap` of ARGB_8888. */
    @JvmStatic
    external fun classifyBitmap(
        classifier: Long,
        options: ByteArray,
        geometry: IntArray,
        bitmap: Any,
        cancel: Long,
    ): ByteArray

    @JvmStatic
    external fun listing(classifier: Long, said: ByteArray): ByteArray

    @JvmStatic
    external fun newCancel(): Long

    @JvmStatic
    external fun cancel(flag: Long)

    @JvmStatic
    external fun freeCancel(flag: Long)
}
