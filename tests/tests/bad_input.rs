//! Machines and boot modules that cannot work: each ends in one line on the console
//! that says what is wrong and what to do, and nothing hangs.
use std::sync::LazyLock;
use tern_tests::{Built, Emulator, start};
use xtask::emulator::{Machine, Options};

static PENDULUM: LazyLock<Built> = LazyLock::new(|| Built::new("systems/pendulum/system.toml"));

/// The one line with which the machine refuses to start.
fn refusal(machine: &mut Machine) -> String {
    let line = machine
        .wait_for("cannot start: ")
        .unwrap_or_else(|error| panic!("{error}"));
    let lines = machine.console.lines();
    let refusals = lines
        .iter()
        .filter(|line| line.contains("cannot start"))
        .count();
    assert_eq!(refusals, 1, "{lines:#?}");
    line
}

fn refused(change: impl FnOnce(&mut Options, &mut Vec<u8>)) -> String {
    let mut options = PENDULUM.options(Emulator::Installed);
    let mut module = PENDULUM.module.clone();
    change(&mut options, &mut module);
    refusal(&mut start(options, &module))
}

#[track_caller]
fn assert_says(line: &str, words: &[&str]) {
    for word in words {
        assert!(line.contains(word), "'{line}' does not say '{word}'");
    }
}

#[test]
fn a_truncated_boot_module_is_refused() {
    let line = refused(|_, module| module.truncate(module.len() / 2));
    assert_says(&line, &["truncated", "rebuild"]);
}

#[test]
fn a_damaged_boot_module_is_refused() {
    let line = refused(|_, module| {
        let middle = module.len() / 2;
        module[middle] ^= 1;
    });
    assert_says(&line, &["checksum", "rebuild"]);
}

#[test]
fn a_boot_module_of_another_kind_is_refused() {
    let line = refused(|_, module| *module = b"not a system image".repeat(1000));
    assert_says(&line, &["not a system image", "cargo xtask image"]);
}

#[test]
fn a_missing_boot_module_is_refused() {
    let options = PENDULUM.options(Emulator::Installed);
    let mut machine = Machine::start(&options).unwrap();
    assert_says(&refusal(&mut machine), &["module"]);
}

#[test]
fn a_processor_without_virtualization_is_refused() {
    // AES is there, AMD-V is not.
    let line =
        refused(|options, _| options.processor = "qemu64,-svm,+aes,+ssse3,+sse4.1,+sse4.2".into());
    assert_says(&line, &["AMD-V"]);
}

#[test]
fn a_processor_without_aes_is_refused() {
    let line = refused(|options, _| options.processor = "max,-aes".into());
    assert_says(&line, &["AES"]);
}

#[test]
fn too_few_cores_are_refused() {
    let line = refused(|options, _| options.cores = 2);
    assert_says(&line, &["gamma", "core 2", "the machine has 2"]);
}

#[test]
fn too_little_memory_is_refused() {
    let line = refused(|options, _| options.memory = 64);
    assert_says(&line, &["memory", "MiB"]);
}
