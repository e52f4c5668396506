package io.github.etalase

import io.github.etalase.internal.Request
import java.util.Collections

/**
 * What an answer is to name. Kotlin: `Options { topK = 3 }`; Java: [Builder]. It does not change, so make it once and share
 * it.
 *
 * Lists hide classes from [Answer.ranked] and never change a score. Labels are canonical names ([Classifier.classes]); one
 * that the bundle does not know is an [EtalaseException.InvalidArgument] of the classification.
 */
public class Options private constructor(builder: Builder) {
    /** At most so many classes, the best ones; null: all. */
    public val topK: Int? = builder.topK

    /** Only classes whose score is at least this, 0 to 1. */
    public val minimumScore: Float = builder.minimumScore

    /** Only these classes; null: all. An empty set allows none. */
    public val allow: Set<String>? = builder.allow?.let(::copyOf)

    /** None of these classes. */
    public val deny: Set<String> = copyOf(builder.deny)

    /** What the seller says the photo shows; null: nothing. Then the answer has a verdict. */
    public val declared: String? = builder.declared

    /** As `Asked::read` in `ffi/src/jni` reads it. */
    internal val packed: ByteArray by lazy {
        Request()
            .int(topK ?: 0)
            .float(minimumScore)
            .int(if (allow == null) 0 else 1)
            .texts(allow.orEmpty())
            .texts(deny)
            .optional(declared)
            .bytes()
    }

    override fun toString(): String =
        "Options(topK=$topK, minimumScore=$minimumScore, allow=$allow, deny=$deny, declared=$declared)"

    /** Makes [Options]; what is not set stays the default. For one thread. */
    public class Builder {
        /** [Options.topK], at least 1. */
        @set:JvmSynthetic
        public var topK: Int? = null

        /** [Options.minimumScore]. */
        @set:JvmSynthetic
        public var minimumScore: Float = 0f

        /** [Options.allow]. */
        @set:JvmSynthetic
        public var allow: Set<String>? = null

        /** [Options.deny]. */
        @set:JvmSynthetic
        public var deny: Set<String> = emptySet()

        /** [Options.declared]. */
        @set:JvmSynthetic
        public var declared: String? = null

        /** Sets [Options.topK]. */
        public fun setTopK(topK: Int?): Builder = apply { this.topK = topK }

        /** Sets [Options.minimumScore]. */
        public fun setMinimumScore(minimumScore: Float): Builder = apply { this.minimumScore = minimumScore }

        /** Sets [Options.allow]. */
        public fun setAllow(allow: Set<String>?): Builder = apply { this.allow = allow }

        /** Sets [Options.deny]. */
        public fun setDeny(deny: Set<String>): Builder = apply { this.deny = deny }

        /** Sets [Options.declared]. */
        public fun setDeclared(declared: String?): Builder = apply { this.declared = declared }

        /**
         * The options.
         *
         * @throws EtalaseException.InvalidArgument where [topK] is less than 1.
         */
        public fun build(): Options {
            topK?.let { if (it < 1) throw EtalaseException.InvalidArgument("topK is $it; at least 1 is possible") }
            return Options(this)
        }
    }

    /** The usual ones. */
    public companion object {
        /** All classes, nothing declared. */
        @JvmField
        public val DEFAULT: Options = Builder().build()

        private fun copyOf(labels: Set<String>): Set<String> = Collections.unmodifiableSet(LinkedHashSet(labels))
    }
}

/**
 * Options with what [build] sets.
 *
 * @throws EtalaseException.InvalidArgument as [Options.Builder.build].
 */
@JvmSynthetic
public fun Options(build: Options.Builder.() -> Unit): Options = Options.Builder().apply(build).build()
