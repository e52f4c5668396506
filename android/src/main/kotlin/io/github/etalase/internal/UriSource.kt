package io.github.etalase.internal

import android.content.ContentResolver
import android.net.Uri
import io.github.etalase.EtalaseException
import io.github.etalase.Plane
import java.io.IOException
import java.nio.ByteBuffer

/** An encoded photo that a content provider has; read whole at each call. */
internal class UriSource(private val resolver: ContentResolver, private val uri: Uri) : PhotoSource {
    override fun classify(call: Call): ByteArray {
        val planes = listOf(Plane(ByteBuffer.wrap(read()), 0))
        return MemorySource(MemorySource.ENCODED, 0, 0, planes).classify(call)
    }

    private fun read(): ByteArray = try {
        val stream = resolver.openInputStream(uri) ?: throw IOException("the provider has no stream for it")
        stream.use { it.readBytes() }
    } catch (e: IOException) {
        throw EtalaseException.Io("$uri: ${e.message}", e)
    } catch (e: SecurityException) {
        throw EtalaseException.Io("$uri: ${e.message}", e)
    }
}
