//! Processors without an instruction set that the images are compiled with: one line says so
//! before the first instruction that needs it, whoever loads the hypervisor, and on each core.
use elf::ElfBytes;
use elf::endian::LittleEndian;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tern_tests::{Built, Emulator, start};
use xtask::emulator::bochs::{self, Model};
use xtask::emulator::{Disc, Machine, Options};
use xtask::{build, iso, setup, workspace};

/// With a sandbox on a core other than the boot core.
const SYSTEM: &str = r#"
    [system]
    name = "instructions"
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

/// Each feature that is needed, as QEMU calls it, and a word of the line that says so.
const FEATURES: [(&str, &str); 9] = [
    ("lm", "64-bit mode"),
    ("nx", "no-execute"),
    ("fxsr", "FXSR"),
    ("sse2", "SSE2"),
    ("pni", "SSE3"),
    ("ssse3", "SSSE3"),
    ("sse4.1", "SSE4.1"),
    ("sse4.2", "SSE4.2"),
    ("aes", "AES"),
];

/// What QEMU's machine says, loaded by its PVH loader or, from a disc, by GRUB.
fn refusal_in_qemu(feature: &str, disc: Option<&Path>) -> String {
    let built = Built::parse(SYSTEM);
    let options = Options {
        processor: format!("max,-{feature}"),
        bound: Duration::from_secs(60),
        ..built.options(Emulator::Installed)
    };
    let mut machine = match disc {
        None => start(options, &built.module),
        Some(image) => {
            let disc = Disc {
                image: image.into(),
                firmware: None,
            };
            let options = Options {
                disc: Some(disc),
                memory: 256,
                ..options
            };
            Machine::start(&options).unwrap_or_else(|error| panic!("{error}"))
        }
    };
    let line = machine.wait_for("cannot start: ");
    line.unwrap_or_else(|error| panic!("without {feature}: {error}"))
}

#[test]
fn a_processor_without_a_feature_is_told_so_by_the_loader_of_qemu() {
    for (feature, word) in FEATURES {
        let line = refusal_in_qemu(feature, None);
        assert!(line.contains(word), "without {feature}: {line}");
    }
}

#[test]
fn a_processor_without_a_feature_is_told_so_by_grub() {
    let image = workspace::target().join("test-instructions.iso");
    iso::write(&Built::parse(SYSTEM).system, &image).unwrap_or_else(|error| panic!("{error}"));
    for (feature, word) in &FEATURES[5..] {
        let line = refusal_in_qemu(feature, Some(&image));
        assert!(line.contains(word), "without {feature}: {line}");
    }
}

#[test]
fn processors_from_before_there_was_aes_are_told_so_in_bochs() {
    for processor in [
        "p4_prescott_celeron_336",
        "athlon64_clawhammer",
        "turion64_tyler",
        "core2_penryn_t9600",
        "corei5_lynnfield_750",
    ] {
        let built = Built::parse(SYSTEM);
        let options = bochs::Options {
            emulator: setup::ensure_bochs().unwrap_or_else(|error| panic!("{error}")),
            processor,
            ..bochs::Options::for_system(&built.system, built.module, Model::Intel)
        };
        let mut machine = bochs::Machine::start(&options).unwrap_or_else(|error| panic!("{error}"));
        // A hundred characters and more, with time for a receiver after each.
        machine.run_for(30_000_000).unwrap();
        let line = machine.wait_for("cannot start: ");
        let line = line.unwrap_or_else(|error| panic!("{processor}: {error}"));
        assert!(line.contains("AES"), "{processor}: {line}");
    }
}

/// The hypervisor's file with all bits of what its other cores need of CPUID leaf 1 set: a core
/// that has all of them there is not.
fn hypervisor_that_wants_more_of_other_cores() -> PathBuf {
    let mut bytes = std::fs::read(build::output_directory().join(build::HYPERVISOR)).unwrap();
    let file = ElfBytes::<LittleEndian>::minimal_parse(&bytes).unwrap();
    let (symbols, names) = file.symbol_table().unwrap().unwrap();
    let wanted = symbols
        .iter()
        .find(|symbol| names.get(symbol.st_name as usize).ok() == Some("trampoline_features"))
        .unwrap()
        .st_value;
    let segments = file.segments().unwrap();
    let segment = segments
        .iter()
        .find(|it| (it.p_vaddr..it.p_vaddr + it.p_filesz).contains(&wanted))
        .unwrap();
    let offset = (segment.p_offset + wanted - segment.p_vaddr) as usize;
    bytes[offset..offset + 4].fill(0xff);
    let path = workspace::target().join("test-hypervisor-wants-more");
    std::fs::write(&path, &bytes).unwrap();
    path
}

#[test]
fn a_core_that_lacks_what_the_boot_core_has_is_told_so() {
    let built = Built::parse(SYSTEM);
    let options = Options {
        hypervisor: hypervisor_that_wants_more_of_other_cores(),
        ..built.options(Emulator::Installed)
    };
    let line = start(options, &built.module).wait_for("cannot start: ");
    let line = line.unwrap_or_else(|error| panic!("{error}"));
    assert!(
        line.contains("core with APIC id 1 lacks") && line.contains("AES"),
        "{line}"
    );
}
