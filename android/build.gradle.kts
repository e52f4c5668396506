// Etalase for Android, from source: `include(":etalase")` this folder in an app's build, or `gradle assembleRelease` here.
// The native libraries belong in src/main/jniLibs/<abi>/libetalase.so. Tests run by Maven (pom.xml), without an SDK.

plugins {
    id("com.android.library") version "8.13.2"
    id("org.jetbrains.kotlin.android") version "2.4.21"
}

group = "io.github.etalase"
version = "0.1.0"

android {
    namespace = "io.github.etalase"
    compileSdk = 36
    defaultConfig {
        minSdk = 24
        consumerProguardFiles("consumer-rules.pro")
    }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }
}

kotlin {
    explicitApi()
    compilerOptions {
        jvmTarget = org.jetbrains.kotlin.gradle.dsl.JvmTarget.JVM_1_8
    }
}

dependencies {
    api("org.jetbrains.kotlinx:kotlinx-coroutines-core:1.11.0")
}
