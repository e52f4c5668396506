//! What the shared library is called, to the linker and the loader.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    match variable("CARGO_CFG_TARGET_OS").as_str() {
        // The ABI's version is part of the name: while the major number is 0, minor versions are apart.
        "linux" => {
            let major = variable("CARGO_PKG_VERSION_MAJOR");
            let minor = variable("CARGO_PKG_VERSION_MINOR");
            link_argument(&format!("-Wl,-soname,libetalase.so.{major}.{minor}"));
        }
        // An app carries its own; devices with pages of 16 KB load no library aligned to less.
        "android" => {
            link_argument("-Wl,-soname,libetalase.so");
            link_argument("-Wl,-z,max-page-size=16384");
        }
        "macos" => link_argument("-Wl,-install_name,@rpath/libetalase.dylib"),
        _ => {}
    }
}

fn link_argument(argument: &str) {
    println!("cargo:rustc-cdylib-link-arg={argument}");
}
