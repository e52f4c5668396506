package io.github.etalase

import io.github.etalase.internal.Reply

/** Measures of a photo, taken where it is resized to the network's input. */
public class Measures private constructor(reply: Reply) {
    /** Width of the part that was looked at, px of the upright photo. */
    public val widthPx: Int = reply.int()

    /** Height of the part that was looked at, px of the upright photo. */
    public val heightPx: Int = reply.int()

    /** Mean luma (BT.601), 0 black to 1 white. */
    public val brightness: Float = reply.float()

    /** Share of pixels without detail in the shadows, 0 to 1. */
    public val dark: Float = reply.float()

    /** Share of pixels without detail in the highlights, or of a white background, 0 to 1. */
    public val bright: Float = reply.float()

    /** 0 smooth (blurred), 1 clean edges, beyond it noise. */
    public val sharpness: Float = reply.float()

    /** Share of the photo in borders of one colour, 0 to 1. */
    public val uniformBorder: Float = reply.float()

    override fun toString(): String =
        "$widthPx x $heightPx px, brightness $brightness, dark $dark, bright $bright, sharpness $sharpness, " +
            "uniform border $uniformBorder"

    internal companion object {
        fun of(reply: Reply): Measures = Measures(reply)
    }
}
