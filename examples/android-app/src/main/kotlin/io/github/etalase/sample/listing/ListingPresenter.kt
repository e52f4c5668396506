package io.github.etalase.sample.listing

import io.github.etalase.Answer
import io.github.etalase.Classifier
import io.github.etalase.EtalaseException
import io.github.etalase.Options
import io.github.etalase.Photo
import io.github.etalase.classify
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.catch
import kotlinx.coroutines.flow.collectLatest
import kotlinx.coroutines.flow.distinctUntilChanged
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.flow.update
import kotlinx.coroutines.launch

/**
 * What a seller does with a listing, and what the classifier says about it. It knows nothing of screens: Android's are in
 * the folder above, and tests run it on a PC.
 *
 * @param scope How long it works; when it ends, the classifier is closed.
 * @param language Of the categories' names, a BCP 47 tag.
 * @param photo The photo of a URI; called on a background thread.
 * @param open Opens the classifier; called on a background thread, once.
 */
internal class ListingPresenter(
    scope: CoroutineScope,
    private val language: String,
    private val photo: (uri: String) -> Photo,
    open: () -> Classifier,
) {
    private class Opened(val classifier: Classifier, val texts: Texts)

    private val opened = CompletableDeferred<Opened>()
    private val shown = MutableStateFlow(ListingState())

    /** What to draw. */
    val state: StateFlow<ListingState> = shown.asStateFlow()

    init {
        // Opened, used and closed by one coroutine: a scope that ends meanwhile leaves no classifier open.
        scope.launch(Dispatchers.Default) {
            try {
                open().use { judgeDrafts(it) }
            } catch (e: EtalaseException) {
                opened.completeExceptionally(e)
                shown.update { it.copy(failure = Texts.unavailable(e)) }
            }
        }
    }

    /** The seller says what the photos show. */
    fun declare(label: String?): Unit = change { it.copy(declared = label) }

    /** The seller has picked photos; those that are there already count once. */
    fun add(uris: List<String>): Unit = change { it.copy(uris = (it.uris + uris).distinct()) }

    /** The seller takes a photo away. */
    fun remove(uri: String): Unit = change { it.copy(uris = it.uris - uri) }

    private fun change(change: (Draft) -> Draft) = shown.update { it.with(change(it.draft)) }

    /**
     * Hints for the person who looks through a camera, about what is declared when they are first asked for. Every frame is
     * closed, stale ones unseen. An error is the last hint.
     */
    fun <F : AutoCloseable> hints(frames: Flow<F>, photo: (F) -> Photo): Flow<Remark> = flow {
        val opened = opened.await()
        val declared = shown.value.declared
        frames.classify(opened.classifier, options(declared), photo).collect { emit(opened.texts.hint(it, declared)) }
    }.catch { if (it is EtalaseException) emit(Remark(Texts.unavailable(it), Tone.WARNING)) else throw it }

    private suspend fun judgeDrafts(classifier: Classifier) {
        val categories = classifier.classes.zip(classifier.labels(language), ::Category)
        shown.update { it.copy(categories = categories) }
        val ready = Opened(classifier, Texts(categories.associate { it.label to it.name }))
        opened.complete(ready)
        // A change ends the calls for the draft before. All photos are asked again then: it takes milliseconds.
        shown.map { it.draft }.distinctUntilChanged().collectLatest { judge(it, ready) }
    }

    private suspend fun judge(draft: Draft, opened: Opened) = coroutineScope {
        val answers = draft.uris.map { async { judge(it, draft, opened) } }.awaitAll()
        // Photos without an answer are left out, so a place among answers is not one among photos.
        val places = answers.indices.filter { answers[it] != null }
        if (places.isEmpty()) return@coroutineScope
        val listing = opened.classifier.listing(answers.filterNotNull(), draft.declared)
        show(draft) { state ->
            state.copy(
                remarks = opened.texts.listing(listing, draft.declared) { places[it] + 1 },
                suggested = state.categories.find { it.label == listing.verdict?.suggested },
            )
        }
    }

    private suspend fun judge(uri: String, draft: Draft, opened: Opened): Answer? {
        val (answer, remarks) = try {
            val answer = opened.classifier.classify(photo(uri), options(draft.declared))
            answer to opened.texts.photo(answer, draft.declared)
        } catch (e: EtalaseException) {
            null to listOf(Remark(Texts.of(e), Tone.WARNING))
        }
        show(draft) { state ->
            state.copy(photos = state.photos.map { if (it.uri == uri) it.copy(remarks = remarks) else it })
        }
        return answer
    }

    /** Nothing is shown about a draft that has changed meanwhile. */
    private fun show(draft: Draft, change: (ListingState) -> ListingState) =
        shown.update { if (it.draft == draft) change(it) else it }

    private fun options(declared: String?) = Options {
        topK = 1
        this.declared = declared
    }
}
