//! Hands the linker script to the linker of the image.
fn main() {
    let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo::rustc-link-arg-bins=-T{folder}/link.ld");
    println!("cargo::rerun-if-changed=link.ld");
}
