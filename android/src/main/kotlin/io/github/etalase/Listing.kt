package io.github.etalase

import io.github.etalase.internal.Reply

/** What the photos of one listing show together. */
public class Listing private constructor(reply: Reply, classes: List<String>) {
    /** Familiarity of the most familiar photo, as [Answer.familiarity]. */
    public val familiarity: Float? = Answer.familiarity(reply)

    /** On what was declared; null where nothing was. */
    public val verdict: Verdict? = Verdict.of(reply, classes)

    /** All classes, best first. */
    public val ranked: List<Score> = Score.ranked(reply, classes)

    /** Every class's score, in the order of [Classifier.classes]. */
    public val scores: List<Float> = reply.floats().asList()

    /** The photos that do not belong to the others, in their order. */
    public val odd: List<Odd> = reply.list { Odd(reply.int(), classes.getOrNull(reply.int())) }

    /** Whether a photo of it is familiar, as [Answer.isFamiliar]. */
    public val isFamiliar: Boolean? get() = Answer.isFamiliar(familiarity)

    override fun toString(): String = "Listing($ranked, familiarity $familiarity, verdict $verdict, odd $odd)"

    /** A photo that does not belong to the others of its listing. */
    public class Odd internal constructor(
        /** Its place in the listing, from 0. */
        public val photo: Int,
        /** The canonical name of the class that it shows; null where it is unfamiliar. */
        public val shows: String?,
    ) {
        override fun toString(): String = "$photo shows $shows"
    }

    internal companion object {
        fun of(reply: Reply, classes: List<String>): Listing = Listing(reply, classes)
    }
}
