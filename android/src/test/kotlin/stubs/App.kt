package androidx.test.platform.app

import android.app.Instrumentation
import android.os.Bundle

// Stand-ins for androidx.test:monitor, which only Google's repository serves, not Maven Central.
// Only the members that Robolectric's AndroidTestEnvironment and RoboMonitoringInstrumentation call.
internal object InstrumentationRegistry {
    private var instrumentation: Instrumentation? = null
    private var arguments: Bundle? = null

    @JvmStatic
    fun registerInstance(instrumentation: Instrumentation?, arguments: Bundle?) {
        this.instrumentation = instrumentation
        this.arguments = arguments
    }

    @JvmStatic
    fun getInstrumentation(): Instrumentation = checkNotNull(instrumentation)
}
