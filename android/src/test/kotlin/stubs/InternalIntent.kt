// As App.kt: what Robolectric calls of androidx.test:monitor.

package androidx.test.internal.runner.intent

import android.content.Intent
import androidx.test.runner.intent.IntentMonitor

internal class IntentMonitorImpl : IntentMonitor {
    fun signalIntent(intent: Intent) = Unit
}
