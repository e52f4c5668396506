package io.github.etalase

import io.github.etalase.internal.Reply

/** The verdict on what a seller declared. */
public class Verdict internal constructor(
    /** What the declaration deserves. */
    public val kind: Kind,
    /** Why. */
    public val reason: Reason,
    /** The best class's canonical name, where that is another than the declared one and the photo is familiar; else null. */
    public val suggested: String?,
) {
    /** What a declaration deserves. */
    public enum class Kind {
        /** The photo shows what was declared. */
        MATCH,

        /** It shows another category. */
        MISMATCH,

        /** A person should look. */
        UNSURE,
    }

    /** Why. */
    public enum class Reason {
        /** The declared category's score is high enough. */
        DECLARED_IS_LIKELY,

        /** Another category's score is far ahead. */
        ANOTHER_IS_LIKELY,

        /** Neither is. */
        CLOSE_CALL,

        /** The photo is unlike those that the network was trained on: its scores mean little. */
        UNFAMILIAR,
    }

    override fun toString(): String = "$kind, $reason" + suggested?.let { ": $it" }.orEmpty()

    internal companion object {
        /** Null where nothing was declared: kind 0. */
        fun of(reply: Reply, classes: List<String>): Verdict? {
            val kind = reply.int()
            val reason = reply.int()
            val suggested = classes.getOrNull(reply.int())
            return if (kind == 0) null else Verdict(Kind.entries[kind - 1], Reason.entries[reason - 1], suggested)
        }
    }
}
