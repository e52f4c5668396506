package io.github.etalase

import org.jetbrains.kotlin.abi.tools.AbiFilters
import org.jetbrains.kotlin.abi.tools.AbiTools
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Test
import java.io.File

/** The public API is the one in api/etalase.api; `mvn verify -Dapi.update=true` writes it anew. */
internal class ApiTest {
    @Test
    fun `the public API is the recorded one`() {
        val classes = File(Setup.property("etalase.classes")).walk().filter { it.extension == "class" }.sorted().toList()
        val now = buildString { AbiTools.getInstance().printJvmDump(this, classes, AbiFilters.EMPTY) }
        val recorded = File(Setup.root, "android/api/etalase.api")
        if (Setup.property("api.update") == "true") recorded.writeText(now)
        assertEquals(recorded.takeIf { it.exists() }?.readText().orEmpty(), now)
    }
}
