//! Processors whose virtualization is absent, too old, or switched off by the firmware: each
//! ends in one line that says so and what to do. AMD-V that the firmware switched off is
//! tested in `hypervisor/src/svm`: Bochs 2.7 ignores writes to the register for it.
use tern_tests::{Built, Emulator, start};
use xtask::emulator::Options;
use xtask::emulator::bochs::{self, Model};
use xtask::setup;

const SYSTEM: &str = r#"
    [system]
    name = "refused"
    [[sandbox]]
    name = "hello"
    core = 0
    memory = "4MiB"
    kernel = "guest-hello"
"#;
/// The register with which firmware locks VT-x on or off (Intel SDM vol. 3 §24.7), and
/// what locks it off: bit 0, the lock, alone.
const FEATURE_CONTROL_LOCKED: (u32, u64) = (0x3a, 1);
/// The line with which a machine in Bochs refuses to start: `change` makes it from one that would
/// do.
fn refusal_in_bochs(change: impl FnOnce(&mut bochs::Options)) -> String {
    let built = Built::parse(SYSTEM);
    let mut options = bochs::Options {
        emulator: setup::ensure_bochs().unwrap_or_else(|error| panic!("{error}")),
        ..bochs::Options::for_system(&built.system, built.module, Model::Intel)
    };
    change(&mut options);
    let mut machine = bochs::Machine::start(&options).unwrap_or_else(|error| panic!("{error}"));
    machine.run_for(100_000_000).unwrap();
    let line = machine.wait_for("cannot start: ");
    line.unwrap_or_else(|error| panic!("{}: {error}", options.processor))
}

/// The line with which a machine in QEMU refuses to start.
fn refusal_in_qemu(processor: &str) -> String {
    let built = Built::parse(SYSTEM);
    let options = Options {
        processor: processor.into(),
        ..built.options(Emulator::Installed)
    };
    let line = start(options, &built.module).wait_for("cannot start: ");
    line.unwrap_or_else(|error| panic!("{processor}: {error}"))
}

#[track_caller]
fn assert_says(line: &str, words: &[&str]) {
    for word in words {
        assert!(line.contains(word), "'{line}' does not say '{word}'");
    }
}

/// Makes of a machine one with all instructions that are needed, and `virtualization` alone of what
/// Bochs has of it.
fn generic(virtualization: &'static str) -> impl FnOnce(&mut bochs::Options) {
    move |options| {
        options.processor = "bx_generic";
        options.features = Some(virtualization);
    }
}

#[test]
fn a_processor_without_any_is_told_so() {
    let words = ["neither VT-x nor AMD-V", "turn virtualization on"];
    assert_says(&refusal_in_qemu("max,-svm"), &words);
    let none = "apic=xapic, simd=sse4_2, aes=1, sep=1, x86_64=1, vmx=0, svm=0";
    assert_says(&refusal_in_bochs(generic(none)), &words);
}

#[test]
fn vt_x_without_unrestricted_guests_is_too_old() {
    // As the first processors had it.
    let first = "apic=xapic, simd=sse4_2, aes=1, sep=1, x86_64=1, vmx=1, svm=0";
    let line = refusal_in_bochs(generic(first));
    assert_says(
        &line,
        &["VT-x has no unrestricted guests", "newer processor"],
    );
}

#[test]
fn amd_v_without_nested_paging_is_too_old() {
    let words = ["AMD-V has no nested paging", "newer processor"];
    assert_says(&refusal_in_qemu("max,-npt"), &words);
}

#[test]
fn vt_x_that_the_firmware_locked_off_is_told_so() {
    let line = refusal_in_bochs(|options| {
        options.firmware_register = Some(FEATURE_CONTROL_LOCKED);
    });
    assert_says(
        &line,
        &[
            "VT-x is locked off by the firmware",
            "turn virtualization on",
        ],
    );
}
