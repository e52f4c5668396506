// Tells what a photo shows: Classify BUNDLE PHOTO
//
// From nothing to a label in Kotlin; docs/kotlin.md shows these lines.

import io.github.etalase.Classifier
import io.github.etalase.EtalaseException
import io.github.etalase.Options
import io.github.etalase.Photo
import java.io.File
import kotlin.system.exitProcess

fun main(arguments: Array<String>) {
    if (arguments.size != 2) {
        System.err.println("usage: Classify BUNDLE PHOTO")
        exitProcess(2)
    }
    val (bundle, file) = arguments
    try {
        // snippet: start
        Classifier.open(bundle).use { classifier ->
            val labels = classifier.labels("en")
            val photo = Photo.encoded(File(file).readBytes())
            val answer = classifier.classifyBlocking(photo, Options { topK = 3 })
            for (score in answer.ranked) {
                println("%-20s%6.1f %%".format(labels[score.classIndex], 100 * score.score))
            }
        }
        // snippet: end
    } catch (e: EtalaseException) {
        System.err.println(e.message)
        exitProcess(1)
    }
}
