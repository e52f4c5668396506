package io.github.etalase

import io.github.etalase.internal.Native
import io.github.etalase.internal.NativeLibrary
import java.io.Closeable

/**
 * Cancels blocking calls that were given it, from any thread; once set it stays so. Coroutines need none: their calls are
 * cancelled with them.
 *
 * @throws EtalaseException.Internal where there is no native library.
 */
public class Cancel : Closeable {
    private val flag: Long

    @Volatile
    private var isClosed = false

    init {
        NativeLibrary.require()
        flag = Native.newCancel()
    }

    /** Its number for native code, which takes a closed one for none. */
    internal val handle: Long
        get() = if (isClosed) throw EtalaseException.InvalidArgument("the cancel flag is closed") else flag

    /**
     * Makes the calls throw [EtalaseException.Cancelled] as soon as they see it: within the time of one operation of the
     * network, or of one photo's decoding. After [close] it does nothing.
     */
    public fun cancel(): Unit = Native.cancel(flag)

    /** Frees it; calls that are running keep it. May be called more than once. */
    override fun close() {
        isClosed = true
        Native.freeCancel(flag)
    }
}
