package io.github.etalase

/**
 * What went wrong; the message names the thing and the cause.
 *
 * @property kind The kind's stable name, the same in every language of Etalase, such as `photo_too_large`.
 */
public sealed class EtalaseException(
    public val kind: String,
    message: String,
    cause: Throwable?,
) : RuntimeException(message, cause) {
    /** A file or stream could not be read. */
    public class Io internal constructor(message: String, cause: Throwable? = null) :
        EtalaseException("io", message, cause)

    /** The bytes are not a photo that can be decoded. */
    public class Photo internal constructor(message: String, cause: Throwable? = null) :
        EtalaseException("photo", message, cause)

    /** The photo has more pixels than the library takes. */
    public class PhotoTooLarge internal constructor(message: String, cause: Throwable? = null) :
        EtalaseException("photo_too_large", message, cause)

    /** The bundle is damaged or contradicts itself. */
    public class Bundle internal constructor(message: String, cause: Throwable? = null) :
        EtalaseException("bundle", message, cause)

    /** The bundle was made for a newer library. */
    public class BundleTooNew internal constructor(message: String, cause: Throwable? = null) :
        EtalaseException("bundle_too_new", message, cause)

    /** The network cannot be read, is not a classifier, or failed while running. */
    public class Model internal constructor(message: String, cause: Throwable? = null) :
        EtalaseException("model", message, cause)

    /** The caller passed something that cannot be meant: a buffer shorter than announced, an unknown label. */
    public class InvalidArgument internal constructor(message: String, cause: Throwable? = null) :
        EtalaseException("invalid_argument", message, cause)

    /** A [Cancel] flag was set before the answer was there. Cancelled coroutines get a `CancellationException` instead. */
    public class Cancelled internal constructor(message: String, cause: Throwable? = null) :
        EtalaseException("cancelled", message, cause)

    /** The [Classifier] is closed. */
    public class Closed internal constructor(message: String, cause: Throwable? = null) :
        EtalaseException("closed", message, cause)

    /** A defect of the library, or no native library to load. Nothing of the call is kept, and the next one works. */
    public class Internal internal constructor(message: String, cause: Throwable? = null) :
        EtalaseException("internal", message, cause)

    internal companion object {
        /** The error of a native status. */
        fun of(status: Int, message: String): EtalaseException = when (status) {
            1 -> Io(message)
            2 -> Photo(message)
            3 -> PhotoTooLarge(message)
            4 -> Bundle(message)
            5 -> BundleTooNew(message)
            6 -> Model(message)
            7 -> InvalidArgument(message)
            8 -> Cancelled(message)
            9 -> Closed(message)
            else -> Internal(message)
        }
    }
}
