package io.github.etalase.sample

import android.net.Uri
import androidx.activity.compose.rememberLauncherForActivityResult
import androidx.activity.result.PickVisualMediaRequest
import androidx.activity.result.contract.ActivityResultContracts.PickMultipleVisualMedia
import androidx.activity.result.contract.ActivityResultContracts.PickVisualMedia
import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.PaddingValues
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.safeDrawingPadding
import androidx.compose.foundation.layout.size
import androidx.compose.foundation.lazy.LazyColumn
import androidx.compose.foundation.lazy.LazyRow
import androidx.compose.foundation.lazy.items
import androidx.compose.foundation.lazy.itemsIndexed
import androidx.compose.material3.Button
import androidx.compose.material3.CircularProgressIndicator
import androidx.compose.material3.FilterChip
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.OutlinedButton
import androidx.compose.material3.Text
import androidx.compose.material3.TextButton
import androidx.compose.runtime.Composable
import androidx.compose.runtime.getValue
import androidx.compose.ui.Modifier
import androidx.compose.ui.graphics.Color
import androidx.compose.ui.unit.dp
import androidx.lifecycle.compose.collectAsStateWithLifecycle
import coil3.compose.AsyncImage
import io.github.etalase.sample.listing.ListingPhoto
import io.github.etalase.sample.listing.ListingPresenter
import io.github.etalase.sample.listing.ListingState
import io.github.etalase.sample.listing.Remark
import io.github.etalase.sample.listing.Tone

private const val MOST_PHOTOS = 10

/** The listing: its category, its photos, and what is said about them. */
@Composable
internal fun ListingScreen(presenter: ListingPresenter, openCamera: () -> Unit) {
    val state by presenter.state.collectAsStateWithLifecycle()
    val picker = rememberLauncherForActivityResult(PickMultipleVisualMedia(MOST_PHOTOS)) { uris ->
        presenter.add(uris.map(Uri::toString))
    }
    LazyColumn(
        Modifier.safeDrawingPadding(),
        contentPadding = PaddingValues(16.dp),
        verticalArrangement = Arrangement.spacedBy(12.dp),
    ) {
        state.failure?.let { item { Remarks(listOf(Remark(it, Tone.WARNING))) } }
        item { Categories(state, presenter::declare) }
        item {
            Row(horizontalArrangement = Arrangement.spacedBy(8.dp)) {
                Button(onClick = { picker.launch(PickVisualMediaRequest(PickVisualMedia.ImageOnly)) }) { Text("Add photos") }
                OutlinedButton(onClick = openCamera) { Text("Camera") }
            }
        }
        itemsIndexed(state.photos, key = { _, photo -> photo.uri }) { index, photo ->
            PhotoRow(index + 1, photo, remove = { presenter.remove(photo.uri) })
        }
        state.remarks?.let { item { Remarks(it) } }
        state.suggested?.let { suggested ->
            item { Button(onClick = { presenter.declare(suggested.label) }) { Text("Change to ${suggested.name}") } }
        }
    }
}

@Composable
private fun Categories(state: ListingState, declare: (String?) -> Unit) {
    LazyRow(horizontalArrangement = Arrangement.spacedBy(8.dp)) {
        items(state.categories, key = { it.label }) { category ->
            val isDeclared = category.label == state.declared
            FilterChip(
                selected = isDeclared,
                onClick = { declare(if (isDeclared) null else category.label) },
                label = { Text(category.name) },
            )
        }
    }
}

@Composable
private fun PhotoRow(number: Int, photo: ListingPhoto, remove: () -> Unit) {
    Row(horizontalArrangement = Arrangement.spacedBy(12.dp)) {
        AsyncImage(photo.uri, contentDescription = "Photo $number", Modifier.size(96.dp))
        Column {
            Text("Photo $number", style = MaterialTheme.typography.titleMedium)
            photo.remarks?.let { Remarks(it) } ?: CircularProgressIndicator()
            TextButton(onClick = remove) { Text("Remove") }
        }
    }
}

/** Lines for the seller. */
@Composable
internal fun Remarks(remarks: List<Remark>) {
    Column {
        for (remark in remarks) {
            val color = when (remark.tone) {
                Tone.GOOD -> MaterialTheme.colorScheme.primary
                Tone.NEUTRAL -> Color.Unspecified
                Tone.WARNING -> MaterialTheme.colorScheme.error
            }
            Text(remark.text, color = color)
        }
    }
}
