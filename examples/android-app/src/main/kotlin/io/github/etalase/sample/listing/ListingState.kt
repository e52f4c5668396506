// What the screen of a listing shows, ready to be drawn.

package io.github.etalase.sample.listing

/** A listing that a seller writes, and what the classifier says about it. */
internal data class ListingState(
    /** What can be declared; empty until the classifier is open. */
    val categories: List<Category> = emptyList(),
    /** The declared category's label; null: none yet. */
    val declared: String? = null,
    val photos: List<ListingPhoto> = emptyList(),
    /** On all photos together; null without photos, and while they are looked at. */
    val remarks: List<Remark>? = null,
    /** What the seller should rather declare. */
    val suggested: Category? = null,
    /** Why there will be no answers at all. */
    val failure: String? = null,
) {
    val draft: Draft get() = Draft(declared, photos.map(ListingPhoto::uri))

    /** The state with another draft: what was said about the old one is gone. */
    fun with(changed: Draft): ListingState {
        if (changed == draft) return this
        // A verdict holds for one declaration; other photos change nothing about it.
        val known = if (changed.declared == declared) photos.associateBy(ListingPhoto::uri) else emptyMap()
        return copy(
            declared = changed.declared,
            photos = changed.uris.map { known[it] ?: ListingPhoto(it) },
            remarks = null,
            suggested = null,
        )
    }
}

/** What the seller decides. */
internal data class Draft(val declared: String?, val uris: List<String>)

/** A category by its canonical name, [label], with its [name] for people. */
internal data class Category(val label: String, val name: String)

/** A photo and what can be said about it; null while it is looked at. */
internal data class ListingPhoto(val uri: String, val remarks: List<Remark>? = null)

/** A line for the seller. */
internal data class Remark(val text: String, val tone: Tone)

/** How a [Remark] is meant. */
internal enum class Tone { GOOD, NEUTRAL, WARNING }
