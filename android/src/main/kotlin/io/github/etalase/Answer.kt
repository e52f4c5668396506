package io.github.etalase

import io.github.etalase.internal.Reply

/** What a photo shows. */
public class Answer private constructor(reply: Reply, classes: List<String>) {
    /** From encoded bytes (or pixels) to the network's input, milliseconds. */
    public val decodeMs: Double = reply.double()

    /** From there to the finished answer, milliseconds. */
    public val runMs: Double = reply.double()

    /** 0 (nothing that the network knows) to 1 (as in training), familiar from 0.5 on; null where the bundle doesn't tell. */
    public val familiarity: Float? = familiarity(reply)

    /** What could be better about the photo, in the order of [Advice]. */
    public val advice: Set<Advice> = Advice.of(reply.int())

    /** On what was declared; null where nothing was. */
    public val verdict: Verdict? = Verdict.of(reply, classes)

    /** What can be said about the photo as a photo. */
    public val measures: Measures = Measures.of(reply)

    /** The classes that the options ask for, best first. */
    public val ranked: List<Score> = Score.ranked(reply, classes)

    /** Every class's score, in the order of [Classifier.classes], whatever the options hide. */
    public val scores: List<Float> = reply.floats().asList()

    /** What about the photo could not be followed, such as a rare colour profile. */
    public val notes: List<String> = reply.texts()

    /** Whether the network knows the like of it, so that its scores mean something; null where the bundle doesn't tell. */
    public val isFamiliar: Boolean? get() = isFamiliar(familiarity)

    /** The best of [ranked]; null where the options leave none. */
    public val best: Score? get() = ranked.firstOrNull()

    override fun toString(): String = "Answer($ranked, familiarity $familiarity, verdict $verdict, advice $advice)"

    internal companion object {
        fun of(reply: Reply, classes: List<String>): Answer = Answer(reply, classes)

        /** Native code says -1 for null. */
        fun familiarity(reply: Reply): Float? = reply.float().takeIf { it >= 0 }

        fun isFamiliar(familiarity: Float?): Boolean? = familiarity?.let { it >= FAMILIAR_FROM }

        /** `ETALASE_FAMILIAR_FROM`. */
        const val FAMILIAR_FROM: Float = 0.5f
    }
}
