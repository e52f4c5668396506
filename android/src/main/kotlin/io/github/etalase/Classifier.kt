package io.github.etalase

import io.github.etalase.internal.Native
import io.github.etalase.internal.NativeLibrary
import io.github.etalase.internal.Reply
import io.github.etalase.internal.Request
import io.github.etalase.internal.nativeBytes
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.awaitCancellation
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import java.io.Closeable
import java.io.File
import java.nio.ByteBuffer

/**
 * A network with its classes, ready to answer.
 *
 * Open it once and share it: any number of threads and coroutines may use it at once, without a lock. It holds native
 * memory until it is closed. Calls after that throw [EtalaseException.Closed]; those that are running get their answer. Not
 * to be opened or asked on the main thread, but for the suspending [classify].
 */
public class Classifier private constructor(opened: Reply) : Closeable {
    /** Its number for native code, which knows a closed one. */
    internal val handle: Long = opened.long()

    /** The classes' canonical names, which [Options] understand, in the order of [Answer.scores]. */
    public val classes: List<String> = opened.texts()

    /** The languages that have labels, as BCP 47 tags. */
    public val languages: List<String> = opened.texts()

    /**
     * All classes' names in [language], a BCP 47 tag, else in one that shares its first part ("id" for "id-ID"), in the
     * order of [classes].
     *
     * @throws EtalaseException.InvalidArgument where the bundle has no labels in that language.
     * @throws EtalaseException.Closed
     */
    public fun labels(language: String): List<String> = Reply.of(Native.names(handle, language.toByteArray())).texts()

    /**
     * One class's name in a language; otherwise as [labels].
     *
     * @throws EtalaseException.InvalidArgument where there is no such class, too.
     */
    public fun label(classIndex: Int, language: String): String = labels(language).getOrNull(classIndex)
        ?: throw EtalaseException.InvalidArgument("class $classIndex; there are ${classes.size}")

    /**
     * What is in the bundle: one JSON object with `name`, `version`, `labels`, `card` and more, as `etalase inspect --json`
     * gives it.
     *
     * @throws EtalaseException.Closed
     */
    public fun inspect(): String = Reply.of(Native.inspect(handle)).text()

    /**
     * Says what a photo shows, on another thread of [dispatcher].
     *
     * Where the coroutine is cancelled, so is the work, and it returns as soon as nobody reads the photo's bytes any more:
     * within the time of one operation of the network, or of one photo's decoding.
     *
     * @throws EtalaseException as [classifyBlocking], but for `Cancelled`.
     * @throws CancellationException where the coroutine is cancelled.
     */
    @JvmSynthetic
    public suspend fun classify(
        photo: Photo,
        options: Options = Options.DEFAULT,
        dispatcher: CoroutineDispatcher = Dispatchers.Default,
    ): Answer = Cancel().use { cancel ->
        coroutineScope {
            // Unconfined: it runs at once on the thread that cancels, however busy the dispatcher is.
            val watcher = launch(Dispatchers.Unconfined, CoroutineStart.UNDISPATCHED) {
                try {
                    awaitCancellation()
                } finally {
                    cancel.cancel()
                }
            }
            try {
                withContext(dispatcher) {
                    try {
                        classifyBlocking(photo, options, cancel)
                    } catch (e: EtalaseException.Cancelled) {
                        // The flag is the coroutine's alone. Its own job may hear of the cancellation a moment later.
                        throw CancellationException("the classification was cancelled", e)
                    }
                }
            } finally {
                watcher.cancel()
            }
        }
    }

    /**
     * Says what a photo shows, on this thread.
     *
     * @param cancel Cancels the call from another thread.
     * @throws EtalaseException.Photo where it cannot be decoded.
     * @throws EtalaseException.PhotoTooLarge where it has too many pixels.
     * @throws EtalaseException.InvalidArgument where pixels, region, labels or sizes cannot be meant.
     * @throws EtalaseException.Io where a content provider does not give the photo.
     * @throws EtalaseException.Cancelled
     * @throws EtalaseException.Closed
     * @throws EtalaseException.Model
     */
    @JvmOverloads
    public fun classifyBlocking(photo: Photo, options: Options = Options.DEFAULT, cancel: Cancel? = null): Answer =
        Answer.of(Reply.of(photo.classify(handle, options.packed, cancel?.handle ?: 0)), classes)

    /**
     * Fuses the photos of one listing: one answer, the photos that do not belong, and a verdict where something is declared.
     *
     * @param photos This classifier's answers, at least one.
     * @param declared What the seller says they show, a canonical name; null: nothing.
     * @throws EtalaseException.InvalidArgument where there is no photo, or the label is unknown.
     * @throws EtalaseException.Closed
     */
    @JvmOverloads
    public fun listing(photos: List<Answer>, declared: String? = null): Listing {
        val said = Request().optional(declared).int(photos.size)
        for (photo in photos) said.float(photo.familiarity ?: -1f).floats(photo.scores)
        return Listing.of(Reply.of(Native.listing(handle, said.bytes())), classes)
    }

    /** Frees the memory, at the latest when the last running call is over. Any thread, more than once. */
    override fun close() {
        Reply.of(Native.close(handle))
    }

    /** Opens classifiers. */
    public companion object {
        /**
         * Opens a bundle's file.
         *
         * @param threads Threads for one answer, 1 to 256. They sleep between answers. More photos a second come from asking
         *     on more threads, a faster answer from more threads here.
         * @throws EtalaseException.Io where the file cannot be read.
         * @throws EtalaseException.Bundle where it is damaged, or no bundle.
         * @throws EtalaseException.BundleTooNew where it was made for a newer library.
         * @throws EtalaseException.Model where its network cannot be read.
         * @throws EtalaseException.InvalidArgument where the number of threads is not possible.
         */
        @JvmStatic
        @JvmOverloads
        public fun open(file: File, threads: Int = 1): Classifier = open(file.path, threads)

        /** As `open(File(path), threads)`. */
        @JvmStatic
        @JvmOverloads
        public fun open(path: String, threads: Int = 1): Classifier =
            opened { Native.openFile(path.toByteArray(), threads) }

        /** Opens a bundle in memory, which is copied; otherwise as that of a file. */
        @JvmStatic
        @JvmOverloads
        public fun open(bytes: ByteArray, threads: Int = 1): Classifier =
            opened { Native.openMemory(bytes, threads) }

        /** Opens the bundle in a buffer, between its position and its limit, which is copied; otherwise as that of a file. */
        @JvmStatic
        @JvmOverloads
        public fun open(bytes: ByteBuffer, threads: Int = 1): Classifier =
            opened { Native.openMemory(nativeBytes(bytes.slice()), threads) }

        /**
         * Opens the bundle that the native library was built with; otherwise as that of a file.
         *
         * @throws EtalaseException.InvalidArgument where it was built without, too.
         */
        @JvmStatic
        @JvmOverloads
        public fun openDefault(threads: Int = 1): Classifier = opened { Native.openDefault(threads) }

        private inline fun opened(open: () -> ByteArray): Classifier {
            NativeLibrary.require()
            return Classifier(Reply.of(open()))
        }
    }
}
