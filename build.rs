//! Link arguments of the shared library.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        // Cargo stops here, so that no other error hides this one.
        println!("cargo::error=procmgr supports Linux only");
        return;
    }
    let version = |part| std::env::var(format!("CARGO_PKG_VERSION_{part}")).unwrap_or_default();
    // Before 1.0 each minor version has an interface of its own.
    let soname = match version("MAJOR").as_str() {
        "0" => format!("libprocmgr.so.0.{}", version("MINOR")),
        major => format!("libprocmgr.so.{major}"),
    };
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,{soname}");
    // Its threads may run code of the library after the host has closed it.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
