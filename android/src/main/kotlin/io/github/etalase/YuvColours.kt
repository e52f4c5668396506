package io.github.etalase

/** Which weights made luma and chroma of a colour. */
public enum class YuvMatrix {
    /** ITU-R BT.601: JPEG, and Android's cameras. */
    BT601,

    /** ITU-R BT.709: HD video. */
    BT709,
}

/** Which levels luma and chroma use. */
public enum class YuvRange {
    /** 0 to 255, as in JPEG. */
    FULL,

    /** Luma 16 to 235, chroma 16 to 240, as in video. */
    VIDEO,
}

/** How a frame's colours are coded. */
public class YuvColours(
    /** The weights. */
    public val matrix: YuvMatrix,
    /** The levels. */
    public val range: YuvRange,
) {
    override fun toString(): String = "$matrix $range"

    /** The usual one. */
    public companion object {
        /** BT.601 in full range: what Android's cameras give. */
        @JvmField
        public val DEFAULT: YuvColours = YuvColours(YuvMatrix.BT601, YuvRange.FULL)
    }
}
