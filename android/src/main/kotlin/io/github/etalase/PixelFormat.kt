package io.github.etalase

/** How pixels lie in memory, 8 bits a channel. */
public enum class PixelFormat {
    /** Red, green, blue. */
    RGB,

    /** Blue, green, red. */
    BGR,

    /** Red, green, blue, alpha that the colours are not multiplied by; transparent pixels lie over white. */
    RGBA,

    /** Blue, green, red, alpha that the colours are not multiplied by. */
    BGRA,

    /** Red, green, blue multiplied by the alpha that follows, as in Android's bitmaps. */
    RGBA_PREMULTIPLIED,

    /** Blue, green, red multiplied by the alpha that follows. */
    BGRA_PREMULTIPLIED,

    /** Grey levels. */
    GREY,

    /** A frame in 4:2:0: luma, then chroma interleaved as U, V in rows as long as luma's. */
    NV12,

    /** As [NV12], with V before U: Android's camera. */
    NV21,

    /** A frame in 4:2:0: luma, U, V one after the other without gaps. */
    I420,
    ;

    // 0 is an encoded file.
    internal val number: Int get() = ordinal + 1
}
