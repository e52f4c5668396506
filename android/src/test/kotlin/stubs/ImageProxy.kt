package androidx.camera.core

import java.nio.ByteBuffer

/** What the guide uses of CameraX, which only Google's repository has. */
internal interface ImageProxy : AutoCloseable {
    val width: Int
    val height: Int
    val imageInfo: ImageInfo
    val planes: Array<PlaneProxy>

    interface PlaneProxy {
        val buffer: ByteBuffer
        val rowStride: Int
        val pixelStride: Int
    }
}

internal interface ImageInfo {
    val rotationDegrees: Int
}
