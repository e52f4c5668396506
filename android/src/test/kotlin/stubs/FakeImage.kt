package android.media

import java.nio.ByteBuffer

/** An image with planes of a test's own. In this package because `Image` has members that only it may override. */
internal class FakeImage(
    private val format: Int,
    private val width: Int,
    private val height: Int,
    private vararg val planes: Plane,
) : Image() {
    private var isClosed = false

    override fun getFormat(): Int = format

    override fun getWidth(): Int = width

    override fun getHeight(): Int = height

    override fun getTimestamp(): Long = 0

    override fun getPlanes(): Array<Plane> {
        check(!isClosed) { "Image is already closed" }
        return arrayOf(*planes)
    }

    override fun close() {
        isClosed = true
    }

    override fun getNativeContext(): Long = 0

    // Hidden and abstract since API 28.
    fun getTransform(): Int = 0

    fun getScalingMode(): Int = 0

    companion object {
        fun plane(bytes: ByteBuffer, rowStride: Int, pixelStride: Int): Plane = object : Plane() {
            override fun getRowStride(): Int = rowStride

            override fun getPixelStride(): Int = pixelStride

            override fun getBuffer(): ByteBuffer = bytes
        }
    }
}
