//! Hands each binary's linker script to the linker: a program's or a guest's.
fn main() {
    let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    for (binary, script) in [
        ("timing-stamps", "../../../app/link.ld"),
        ("timing-writer", "../../../app/link.ld"),
        ("timing-parts", "../guests/link.ld"),
        ("timing-channel", "../guests/link.ld"),
    ] {
        println!("cargo::rustc-link-arg-bin={binary}=-T{folder}/{script}");
        println!("cargo::rerun-if-changed={script}");
    }
}
