package io.github.etalase

/** A remark about a photo, for the person who takes it. */
public enum class Advice {
    /** Too little light. */
    TOO_DARK,

    /** Highlights without detail. */
    TOO_BRIGHT,

    /** Out of focus, or moved. */
    BLURRED,

    /** Too few pixels. */
    TOO_SMALL,

    /** Much of the photo is a border of one colour. */
    FRAMED,
    ;

    internal companion object {
        /** The remarks of native code's bits, in order. */
        fun of(bits: Int): Set<Advice> = entries.filterTo(LinkedHashSet()) { bits shr it.ordinal and 1 != 0 }
    }
}
