package io.github.etalase

import io.github.etalase.internal.Reply

/** A class with its score. */
public class Score internal constructor(
    /** The class's canonical name; [Classifier.labels] has those of languages. */
    public val label: String,
    /** The class's place in [Classifier.classes], from 0. */
    public val classIndex: Int,
    /** 0 to 1, calibrated where the bundle says how. All classes' scores sum to 1. */
    public val score: Float,
) {
    override fun toString(): String = "$label $score"

    internal companion object {
        fun ranked(reply: Reply, classes: List<String>): List<Score> = reply.list {
            val classIndex = reply.int()
            Score(classes[classIndex], classIndex, reply.float())
        }
    }
}
