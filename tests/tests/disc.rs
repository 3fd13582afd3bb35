//! The disc for PCs, started by GRUB as on a PC: by BIOS and by UEFI.
use std::path::PathBuf;
use tern_tests::{Built, Emulator};
use xtask::emulator::{Disc, Machine, Options};
use xtask::{iso, setup, workspace};

const SYSTEM: &str = r#"
    [system]
    name = "disc"
    [[sandbox]]
    name = "first"
    core = 0
    memory = "4MiB"
    kernel = "guest-hello"
    [[sandbox]]
    name = "second"
    core = 1
    memory = "4MiB"
    kernel = "guest-hello"
"#;

/// Boots the disc with `firmware`, and waits for a greeting from each sandbox.
fn boot(name: &str, firmware: Option<PathBuf>) {
    let built = Built::parse(SYSTEM);
    let image = workspace::target().join(format!("test-{name}.iso"));
    iso::write(&built.system, &image).unwrap_or_else(|error| panic!("{error}"));
    let options = Options {
        disc: Some(Disc { image, firmware }),
        memory: 256,
        bound: std::time::Duration::from_secs(180),
        ..built.options(Emulator::Installed)
    };
    let mut machine = Machine::start(&options).unwrap_or_else(|error| panic!("{error}"));
    for line in ["[first] hello", "[second] hello"] {
        let said = machine.wait_for(line);
        said.unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn the_disc_boots_by_bios() {
    boot("bios", None);
}

#[test]
fn the_disc_boots_by_uefi() {
    let firmware = setup::ensure_uefi().unwrap_or_else(|error| panic!("{error}"));
    boot("uefi", Some(firmware));
}
