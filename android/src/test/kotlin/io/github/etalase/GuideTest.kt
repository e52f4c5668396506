package io.github.etalase

import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import java.io.File

/** docs/kotlin.md shows lines that are compiled here. */
internal class GuideTest {
    private fun read(path: String) = File(Setup.root, path).readText()

    private fun trimmed(code: String) = code.lines().joinToString("\n") { it.trim() }

    @Test
    fun `every block is code of the example or of Guide`() {
        val example = read("examples/kotlin/src/main/kotlin/Classify.kt")
        val snippet = example.substringAfter("// snippet: start\n").substringBefore("// snippet: end")
        val compiled = trimmed(snippet + read("android/src/test/kotlin/io/github/etalase/Guide.kt"))
        val blocks = Regex("```kotlin\n(.*?)```", RegexOption.DOT_MATCHES_ALL).findAll(read("docs/kotlin.md"))
            .map { it.groupValues[1] }.toList()
        assertTrue(blocks.first() == snippet.trimIndent() + "\n", blocks.first())
        assertTrue(blocks.size > 5)
        for (block in blocks) assertTrue(trimmed(block).trim() in compiled, block)
    }
}
