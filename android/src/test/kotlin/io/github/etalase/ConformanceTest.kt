package io.github.etalase

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.DynamicTest.dynamicTest
import org.junit.jupiter.api.TestFactory
import java.io.File

/** The conformance list of all languages; its README.md explains the lines. */
internal class ConformanceTest {
    @TestFactory
    fun `the list`(): List<DynamicTest> {
        val classifier = Classifier.open(Setup.bundle)
        val cases = File(Setup.conformance, "cases.txt").readLines()
            .filterNot { it.isBlank() || it.startsWith("#") }
            .joinToString("\n")
            .split("\nend").map { it.trim() }.filter { it.isNotEmpty() }
            .map { Case(it.lines()) }
        assertTrue(cases.size >= 50, "${cases.size} cases")
        return cases.map { case ->
            dynamicTest(case.name) { assertEquals(case.expected.joinToString("\n"), case.run(classifier)) }
        }
    }
}

private val results = setOf("ranked", "familiarity", "verdict", "size", "advice", "odd", "text", "opened", "error")

/** One case: what goes in, what has to come out. */
private class Case(lines: List<String>) {
    val name = lines.first().removePrefix("case ")
    val expected = lines.drop(1).filter { it.substringBefore(' ') in results }
    private val given = lines.drop(1) - expected.toSet()

    /** The words behind [key] of each line that begins with it. */
    private fun all(key: String): List<List<String>> =
        given.map { it.split(' ') }.filter { it.first() == key }.map { it.drop(1) }

    private fun one(key: String): List<String>? = all(key).singleOrNull()

    fun run(classifier: Classifier): String = try {
        answer(classifier)
    } catch (e: EtalaseException) {
        listOf("error ${e.kind}")
    }.joinToString("\n")

    private fun answer(classifier: Classifier): List<String> {
        one("open_file")?.let { (file) ->
            Classifier.open(path(file)).close()
            return listOf("opened")
        }
        one("open_memory")?.let { (file, length) ->
            Classifier.open(Setup.direct(part(file, 0, length.toInt()))).close()
            return listOf("opened")
        }
        one("name")?.let { (classIndex, language) ->
            return listOf("text " + classifier.label(classIndex.toInt(), language))
        }
        if (one("listing") != null) return list(classifier)

        val answer = Cancel().use { cancel ->
            if (one("cancelled") != null) cancel.cancel()
            classifier.classifyBlocking(photo(), options(), cancel)
        }
        return told(answer.ranked, answer.familiarity, answer.verdict) +
            listOf("size ${answer.measures.widthPx} ${answer.measures.heightPx}") +
            answer.advice.joinToString(" ") { it.name.lowercase() }.takeIf { it.isNotEmpty() }.lines("advice")
    }

    private fun list(classifier: Classifier): List<String> {
        val answers = all("photo").map { (file) -> classifier.classifyBlocking(Photo.encoded(path(file).readBytes())) }
        val listing = classifier.listing(answers, one("declared")?.single())
        return told(listing.ranked, listing.familiarity, listing.verdict) +
            listing.odd.map { "odd ${it.photo} ${it.shows ?: "-"}" }
    }

    private fun photo(): Photo {
        var photo = content()
        one("orientation")?.let { (exif) -> photo = photo.orientation(exif.toInt()) }
        one("region")?.map { it.toInt() }?.let { (x, y, width, height) -> photo = photo.region(x, y, width, height) }
        return photo
    }

    private fun content(): Photo {
        val (format, width, height) = one("pixels") ?: return Photo.encoded(path(all("photo").single().single()).readBytes())
        val planes = all("plane").map { (file, offset, length, rowStride, pixelStride) ->
            val bytes = Setup.direct(part(file, offset.toInt(), length.toInt()))
            Pair(bytes, Plane(bytes, rowStride.toInt(), pixelStride.toInt()))
        }
        val colours = one("colours")?.let { (matrix, range) ->
            YuvColours(YuvMatrix.valueOf(matrix.uppercase()), YuvRange.valueOf(range.uppercase()))
        } ?: YuvColours.DEFAULT
        if (format == "yuv420") {
            val (y, u, v) = planes.map { it.second }
            return Photo.yuv420(width.toInt(), height.toInt(), y, u, v, colours)
        }
        val (bytes, plane) = planes.single()
        val pixels = PixelFormat.valueOf(format.uppercase())
        return Photo.pixels(pixels, width.toInt(), height.toInt(), bytes, plane.rowStride, colours)
    }

    private fun options() = Options {
        one("top_k")?.let { (k) -> topK = k.toInt() }
        one("minimum_score")?.let { (score) -> minimumScore = score.toFloat() }
        if (all("allow").isNotEmpty()) allow = all("allow").flatten().toSet()
        deny = all("deny").flatten().toSet()
        declared = one("declared")?.single()
    }

    private fun told(ranked: List<Score>, familiarity: Float?, verdict: Verdict?): List<String> =
        ranked.map { "ranked ${it.label} ${bits(it.score)}" } +
            familiarity?.let { bits(it) }.lines("familiarity") +
            verdict?.let { "${it.kind.name.lowercase()} ${it.reason.name.lowercase()} ${it.suggested ?: "-"}" }
                .lines("verdict")

    private fun String?.lines(key: String): List<String> = listOfNotNull(this).map { "$key $it" }

    private fun bits(score: Float) = "%08x".format(score.toRawBits())

    private fun path(name: String) = if (name == "default") Setup.bundle else File(Setup.conformance, name)

    private fun part(name: String, offset: Int, length: Int): ByteArray =
        path(name).readBytes().copyOfRange(offset, offset + length)
}
