package io.github.etalase.sample

import android.Manifest
import androidx.activity.compose.rememberLauncherForActivityResult
import androidx.activity.result.contract.ActivityResultContracts.RequestPermission
import androidx.camera.compose.CameraXViewfinder
import androidx.camera.core.CameraSelector
import androidx.camera.core.ImageAnalysis
import androidx.camera.core.ImageProxy
import androidx.camera.core.InitializationException
import androidx.camera.core.Preview
import androidx.camera.core.SurfaceRequest
import androidx.camera.lifecycle.ProcessCameraProvider
import androidx.camera.lifecycle.awaitInstance
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.layout.safeDrawingPadding
import androidx.compose.runtime.Composable
import androidx.compose.runtime.LaunchedEffect
import androidx.compose.runtime.getValue
import androidx.compose.runtime.mutableStateOf
import androidx.compose.runtime.remember
import androidx.compose.runtime.setValue
import androidx.compose.ui.Modifier
import androidx.compose.ui.platform.LocalContext
import androidx.lifecycle.compose.LocalLifecycleOwner
import io.github.etalase.sample.listing.ListingPresenter
import io.github.etalase.sample.listing.Remark
import io.github.etalase.sample.listing.Tone
import io.github.etalase.sample.listing.frames
import java.util.concurrent.Executor

// The library's flow works elsewhere; the callback only hands a frame over.
private val AT_ONCE = Executor(Runnable::run)

/** What the camera sees, and a hint about it. */
@Composable
internal fun CameraScreen(presenter: ListingPresenter) {
    var isPermitted by remember { mutableStateOf(false) }
    var hint by remember { mutableStateOf<Remark?>(null) }
    val permission = rememberLauncherForActivityResult(RequestPermission()) { granted ->
        isPermitted = granted
        if (!granted) hint = Remark("The camera may not be used: allow it in the settings.", Tone.WARNING)
    }
    // Answered at once where it was granted before.
    LaunchedEffect(Unit) { permission.launch(Manifest.permission.CAMERA) }
    Column(Modifier.safeDrawingPadding()) {
        if (isPermitted) Viewfinder(presenter, Modifier.weight(1f).fillMaxWidth()) { hint = it }
        hint?.let { Remarks(listOf(it)) }
    }
}

@Composable
private fun Viewfinder(presenter: ListingPresenter, modifier: Modifier, show: (Remark) -> Unit) {
    val context = LocalContext.current
    val owner = LocalLifecycleOwner.current
    var surface by remember { mutableStateOf<SurfaceRequest?>(null) }
    LaunchedEffect(presenter, owner) {
        val preview = Preview.Builder().build().apply { setSurfaceProvider { surface = it } }
        // By its default it hands over a frame when the one before is closed, and drops those between.
        val analysis = ImageAnalysis.Builder().build()
        val frames = frames<ImageProxy>({ analysis.setAnalyzer(AT_ONCE, it) }, analysis::clearAnalyzer)
        try {
            val camera = ProcessCameraProvider.awaitInstance(context)
            try {
                camera.bindToLifecycle(owner, CameraSelector.DEFAULT_BACK_CAMERA, preview, analysis)
                presenter.hints(frames, ::photo).collect { show(it) }
            } finally {
                camera.unbind(preview, analysis)
            }
        } catch (e: InitializationException) {
            show(noCamera(e))
        } catch (e: IllegalArgumentException) {
            show(noCamera(e))
        }
    }
    surface?.let { CameraXViewfinder(it, modifier) }
}

private fun noCamera(e: Exception) = Remark("No camera can be used: ${e.message}", Tone.WARNING)
