pluginManagement {
    repositories {
        google()
        mavenCentral()
        gradlePluginPortal()
    }
}

dependencyResolutionManagement {
    repositories {
        google()
        mavenCentral()
    }
}

rootProject.name = "etalase-sample"

// From source; an app of its own would name the AAR.
include(":etalase")
project(":etalase").projectDir = file("../../android")
