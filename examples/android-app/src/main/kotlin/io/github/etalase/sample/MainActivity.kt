package io.github.etalase.sample

import android.app.Application
import android.net.Uri
import android.os.Bundle
import androidx.activity.ComponentActivity
import androidx.activity.compose.BackHandler
import androidx.activity.compose.setContent
import androidx.activity.enableEdgeToEdge
import androidx.activity.viewModels
import androidx.compose.material3.MaterialTheme
import androidx.compose.runtime.getValue
import androidx.compose.runtime.mutableStateOf
import androidx.compose.runtime.saveable.rememberSaveable
import androidx.compose.runtime.setValue
import androidx.lifecycle.AndroidViewModel
import androidx.lifecycle.viewModelScope
import io.github.etalase.Classifier
import io.github.etalase.open
import io.github.etalase.sample.listing.ListingPresenter

/** One listing, and a camera beside it. */
class MainActivity : ComponentActivity() {
    private val model: ListingModel by viewModels()

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        enableEdgeToEdge()
        setContent {
            MaterialTheme {
                var isAtCamera by rememberSaveable { mutableStateOf(false) }
                if (isAtCamera) {
                    BackHandler { isAtCamera = false }
                    CameraScreen(model.presenter)
                } else {
                    ListingScreen(model.presenter, openCamera = { isAtCamera = true })
                }
            }
        }
    }
}

/** Keeps the listing while the screen is turned; with its scope, the classifier is closed. */
class ListingModel(app: Application) : AndroidViewModel(app) {
    internal val presenter = ListingPresenter(viewModelScope, language = "en", photo = { photo(app, Uri.parse(it)) }) {
        Classifier.open(app.assets, "default.etalase")
    }
}
