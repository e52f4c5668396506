// As App.kt: what Robolectric calls of androidx.test:monitor.

package androidx.test.runner.intent

import android.app.Instrumentation
import android.content.Intent

internal interface IntentMonitor

internal interface IntentStubber {
    fun getActivityResultForIntent(intent: Intent): Instrumentation.ActivityResult?
}

internal object IntentMonitorRegistry {
    @JvmStatic
    fun registerInstance(monitor: IntentMonitor?) = Unit
}

internal object IntentStubberRegistry {
    @JvmStatic
    fun isLoaded(): Boolean = false

    @JvmStatic
    fun getInstance(): IntentStubber = error("no stubber")
}
