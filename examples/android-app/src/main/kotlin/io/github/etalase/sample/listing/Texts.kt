// Answers in words. An app keeps them with its other strings, by language; the names of categories come with the bundle.

package io.github.etalase.sample.listing

import io.github.etalase.Advice
import io.github.etalase.Answer
import io.github.etalase.EtalaseException
import io.github.etalase.Listing
import io.github.etalase.Score
import io.github.etalase.Verdict

/** Words for answers about categories with these [names], by label. */
internal class Texts(private val names: Map<String, String>) {
    private fun name(label: String): String = names.getValue(label)

    /** All that can be said about a photo. */
    fun photo(answer: Answer, declared: String?): List<Remark> =
        listOf(shows(answer.verdict, answer.best, answer.isFamiliar, declared)) + advice(answer)

    /** The one thing that helps a person with a camera most. */
    fun hint(answer: Answer, declared: String?): Remark =
        advice(answer).firstOrNull() ?: shows(answer.verdict, answer.best, answer.isFamiliar, declared)

    /** What the photos of a listing say together; [number] gives the number of the photo at a place among them. */
    fun listing(listing: Listing, declared: String?, number: (Int) -> Int): List<Remark> =
        listOf(shows(listing.verdict, listing.ranked.firstOrNull(), listing.isFamiliar, declared)) +
            listing.odd.map { odd(number(it.photo), it.shows) }

    /** On a photo that does not belong to the others; [shows] is a label, null where the photo is unfamiliar. */
    fun odd(number: Int, shows: String?): Remark {
        val what = shows?.let(::name) ?: "something else"
        return Remark("Photo $number does not fit the others: it shows $what.", Tone.WARNING)
    }

    private fun shows(verdict: Verdict?, best: Score?, isFamiliar: Boolean?, declared: String?): Remark {
        if (verdict == null || declared == null) {
            return if (best == null || isFamiliar == false) UNFAMILIAR else Remark("Looks like ${name(best.label)}.", Tone.NEUTRAL)
        }
        val rather = verdict.suggested?.let(::name)
        return when (verdict.kind) {
            Verdict.Kind.MATCH -> Remark("Shows ${name(declared)}, as declared.", Tone.GOOD)
            Verdict.Kind.MISMATCH ->
                Remark("Shows ${rather ?: "something else"} rather than ${name(declared)}.", Tone.WARNING)
            Verdict.Kind.UNSURE -> when {
                verdict.reason == Verdict.Reason.UNFAMILIAR -> UNFAMILIAR
                rather != null -> Remark("Could be ${name(declared)}, or $rather.", Tone.NEUTRAL)
                else -> Remark("Could be ${name(declared)}.", Tone.NEUTRAL)
            }
        }
    }

    private fun advice(answer: Answer): List<Remark> = answer.advice.map {
        val text = when (it) {
            Advice.TOO_DARK -> "Too dark: more light, please."
            Advice.TOO_BRIGHT -> "Too bright: less light, please."
            Advice.BLURRED -> "Blurred: hold still, and try again."
            Advice.TOO_SMALL -> "Too small: take a larger photo."
            Advice.FRAMED -> "Much of it is a border: crop it."
        }
        Remark(text, Tone.WARNING)
    }

    companion object {
        private val UNFAMILIAR = Remark("Nothing known in it: show the whole item, and little else.", Tone.NEUTRAL)

        /** What a seller can do about an error of a photo; its own message is for developers. */
        fun of(error: EtalaseException): String = when (error) {
            is EtalaseException.Photo -> "This file is no photo that can be read. Choose another."
            is EtalaseException.PhotoTooLarge -> "This photo is too large. Choose another."
            is EtalaseException.Io -> "This photo is not there any more. Choose another."
            else -> unavailable(error)
        }

        /** On an error that the seller can do nothing about. */
        fun unavailable(error: EtalaseException): String = "Photos cannot be checked: ${error.message}"
    }
}
