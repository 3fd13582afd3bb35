//! Machines and boot modules that cannot work: each ends in one line on the console
//! that says what is wrong and what to do, and nothing hangs.
use std::sync::LazyLock;
use tern_tests::{Built, Emulator, Platform, start};
use xtask::emulator::{Machine, Options, bochs};
use xtask::setup;

static PENDULUM: LazyLock<Built> = LazyLock::new(|| Built::new("systems/pendulum/arbitrator.toml"));

/// What is changed of a machine that would do.
#[derive(Clone, Debug)]
enum Change {
    /// The boot module; `None` takes it away.
    Module(Option<Vec<u8>>),
    /// The number of cores.
    Cores(u8),
    /// MiB of memory.
    Memory(u64),
}

/// Every case: its name, what is changed, and what the line says.
fn cases() -> Vec<(&'static str, Change, &'static [&'static str])> {
    let module = PENDULUM.module.clone();
    let middle = module.len() / 2;
    let truncated = module[..middle].to_vec();
    let mut damaged = module;
    damaged[middle] ^= 1;
    let other = b"not a system image".repeat(1000);
    let changed = |module| Change::Module(Some(module));
    vec![
        (
            "a truncated boot module",
            changed(truncated),
            &["truncated", "rebuild"],
        ),
        (
            "a damaged boot module",
            changed(damaged),
            &["checksum", "rebuild"],
        ),
        (
            "a boot module of another kind",
            changed(other),
            &["not a system image", "cargo xtask image"],
        ),
        (
            "no boot module",
            Change::Module(None),
            &["no boot module", "pass the system image"],
        ),
        (
            "too few cores",
            Change::Cores(2),
            &["gamma", "core 2", "the machine has 2"],
        ),
        // Enough for hypervisor and boot module.
        ("too little memory", Change::Memory(64), &["memory", "MiB"]),
    ]
}

/// All that the machine prints until it refuses to start.
fn console(platform: Platform, change: &Change) -> Vec<String> {
    match platform {
        Platform::Qemu(emulator) => {
            let mut options = PENDULUM.options(emulator);
            let mut module = Some(PENDULUM.module.clone());
            match change {
                Change::Module(other) => module.clone_from(other),
                Change::Cores(cores) => options.cores = u32::from(*cores),
                Change::Memory(memory) => options.memory = *memory,
            }
            let mut machine = match module {
                Some(module) => start(options, &module),
                None => Machine::start(&options).unwrap_or_else(|error| panic!("{error}")),
            };
            let line = machine.wait_for("cannot start: ");
            line.unwrap_or_else(|error| panic!("{error}"));
            machine.console.lines().to_vec()
        }
        Platform::Bochs(model) => {
            let module = PENDULUM.module.clone();
            let mut options = bochs::Options::for_system(&PENDULUM.system, module, model);
            options.emulator = setup::ensure_bochs().unwrap_or_else(|error| panic!("{error}"));
            match change {
                Change::Module(other) => options.module.clone_from(other),
                Change::Cores(cores) => options.cores = *cores,
                Change::Memory(memory) => options.memory = *memory,
            }
            let machine = bochs::Machine::start(&options);
            let mut machine = machine.unwrap_or_else(|error| panic!("{error}"));
            // It stops where it refuses.
            machine.run_for(100_000_000).unwrap();
            machine.console.lines().to_vec()
        }
    }
}

fn what_cannot_work_is_refused(platform: Platform) {
    for (name, change, words) in cases() {
        let lines = console(platform, &change);
        let refusals = lines.iter().filter(|line| line.contains("cannot start: "));
        let refusals: Vec<_> = refusals.collect();
        let [line] = refusals[..] else {
            panic!("{name} on {platform}: {lines:#?}");
        };
        for word in words {
            assert!(
                line.contains(word),
                "{name} on {platform}: '{line}' lacks '{word}'"
            );
        }
    }
}

tern_tests::on_each_machine! {
    what_cannot_work_is_refused_in_one_line => what_cannot_work_is_refused;
    ports_that_no_sandbox_may_have => ports_that_no_sandbox_may_have_are_refused;
}

/// The pendulum's system as no description makes it: with its device at `port`.
fn with_device_at(port: u16) -> Built {
    let mut system = PENDULUM.system.clone();
    system.devices[0].port = port;
    Built::of(system)
}

/// A sandbox with such ports reaches all memory, or turns the machine off.
fn ports_that_no_sandbox_may_have_are_refused(platform: Platform) {
    // Where the firmware's tables put the power-management timer: eight past the base.
    let power = match platform {
        Platform::Bochs(_) => 0xb000,
        Platform::Qemu(_) => 0x600,
    };
    for (port, words) in [
        (0x510, ["\"plant\"", "no serial port"]),
        (power, ["\"plant\"", "ACPI's PM1a events"]),
        (power + 8, ["\"plant\"", "ACPI's power-management timer"]),
    ] {
        let module = with_device_at(port).module;
        let lines = console(platform, &Change::Module(Some(module)));
        let refusals = lines.iter().filter(|line| line.contains("cannot start: "));
        let refusals: Vec<_> = refusals.collect();
        let [line] = refusals[..] else {
            panic!("{port:#x} on {platform}: {lines:#?}");
        };
        for word in words {
            assert!(
                line.contains(word),
                "{port:#x} on {platform}: '{line}' lacks '{word}'"
            );
        }
    }
}

#[test]
fn a_device_that_is_no_serial_port_is_refused_at_its_ports() {
    let other = with_device_at(0x3e8);
    for (device, refused) in [
        ("isa-serial,index=2", false),
        ("isa-ide,iobase=0x3e8,iobase2=0x3e0", true),
        ("isa-fdc,iobase=0x3e8", true),
    ] {
        let options = Options {
            devices: vec![device.into()],
            ..other.options(Emulator::Installed)
        };
        let end = if refused {
            "cannot start: "
        } else {
            "directory at"
        };
        let line = start(options, &other.module).wait_for(end);
        let line = line.unwrap_or_else(|error| panic!("{device}: {error}"));
        let said = line.contains("no 16550");
        assert_eq!(said, refused, "{device}: {line}");
    }
}
