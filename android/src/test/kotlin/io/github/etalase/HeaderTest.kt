package io.github.etalase

import io.github.etalase.internal.MemorySource
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import java.io.File

/** Numbers that cross to native code are those of etalase.h. */
internal class HeaderTest {
    private val header = File(Setup.root, "ffi/include/etalase.h").readText()

    /** An enum of the header: its names in lower case by their numbers. */
    private fun numbers(prefix: String): Map<Int, String> =
        Regex("""^ +ETALASE_${prefix}_(\w+) = (\d+),$""", RegexOption.MULTILINE).findAll(header)
            .associate { (_, name, number) -> number.toInt() to name.lowercase() }

    private operator fun MatchResult.component1() = value
    private operator fun MatchResult.component2() = groupValues[1]
    private operator fun MatchResult.component3() = groupValues[2]

    private fun names(entries: List<Enum<*>>, number: (Int) -> Int = { it }) =
        entries.associate { number(it.ordinal) to it.name.lowercase() }

    @Test
    fun `all kinds of errors`() {
        val status = numbers("STATUS")
        assertEquals(11, status.size)
        assertEquals(status - 0, (1..10).associateWith { EtalaseException.of(it, "").kind })
        assertEquals("internal", EtalaseException.of(99, "").kind)
        val classes = EtalaseException::class.java.declaredClasses
            .filter { EtalaseException::class.java.isAssignableFrom(it) }
            .map { it.simpleName.replace(Regex("(?<=.)[A-Z]"), "_$0").lowercase() }
        assertEquals(status.values.toSet() - "ok", classes.toSet())
    }

    @Test
    fun `what is familiar`() {
        assertTrue(Regex("""^#define ETALASE_FAMILIAR_FROM ${Answer.FAMILIAR_FROM}$""", RegexOption.MULTILINE) in header)
        assertEquals(listOf(null, false, true), listOf(null, 0.49f, 0.5f).map { Answer.isFamiliar(it) })
    }

    @Test
    fun `formats and colours`() {
        val formats = PixelFormat.entries.associate { it.number to it.name.lowercase() }
        assertEquals(
            numbers("FORMAT"),
            formats + mapOf(MemorySource.ENCODED to "encoded", MemorySource.YUV420 to "yuv420"),
        )
        assertEquals(numbers("YUV_MATRIX"), names(YuvMatrix.entries))
        assertEquals(numbers("YUV_RANGE"), names(YuvRange.entries))
    }

    @Test
    fun `verdicts and advice`() {
        assertEquals(numbers("VERDICT_KIND") - 0, names(Verdict.Kind.entries) { it + 1 })
        assertEquals(numbers("REASON") - 0, names(Verdict.Reason.entries) { it + 1 })
        assertEquals(numbers("ADVICE"), names(Advice.entries) { 1 shl it })
        assertEquals(setOf(Advice.TOO_DARK, Advice.FRAMED), Advice.of(17))
    }
}
