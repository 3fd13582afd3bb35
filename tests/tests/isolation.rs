//! A sandbox that attacks: it is stopped and recorded, or refused, and the sandbox
//! beside it misses nothing. One test an attack; `systems/guests` has the attacker.
use std::time::Duration;
use tern_abi::directory::ExitReason;
use tern_abi::hypercall::HypercallError;
use tern_abi::layout::{EXIT_COUNTS_BASE, IMAGE_BASE, TRACE_BASE};
use tern_config::channel_address;
use tern_tests::{Built, Emulator, directory};
use tern_trace::{Core, Event};
use xtask::emulator::{Directory, Machine, Options, directory::violation};
use xtask::record;

const ATTACKER_BYTES: u64 = 4 << 20;
/// Of the ring, its header's page included.
const TRACE_BYTES: u64 = (64 << 10) + 4096;
const APIC_PAGE: u64 = 0xfee0_0000;
const INTERRUPT_COMMAND: u64 = 0x830;
/// Indices of channels in [`system`].
const READ_BY_ATTACKER: usize = 0;
const OF_OTHERS: usize = 1;

/// The attacker on core 1 between two sandboxes: one with a periodic load and its
/// deadlines, one that shares a channel with it that the attacker has no part in.
fn system(attack: &str) -> String {
    format!(
        r#"
        [system]
        name = "isolation"
        trace = "64KiB"
        [[sandbox]]
        name = "bystander"
        core = 0
        memory = "8MiB"
        [[sandbox.server]]
        name = "load"
        budget = "20ms"
        period = "200ms"
        [[sandbox.server.thread]]
        name = "load"
        wcet = "10ms"
        period = "200ms"
        program = "load"
        [[sandbox]]
        name = "attacker"
        core = 1
        memory = "4MiB"
        kernel = "guest-hostile"
        command_line = "{attack}"
        [[sandbox]]
        name = "other"
        core = 2
        memory = "4MiB"
        kernel = "guest-hello"
        [[channel]]
        name = "news"
        writer = "bystander"
        readers = ["attacker"]
        size = "4KiB"
        [[channel]]
        name = "private"
        writer = "bystander"
        readers = ["other"]
        size = "4KiB"
        "#
    )
}

/// The guest-physical address of a channel of [`system`].
fn channel(index: usize) -> u64 {
    let description = tern_config::Description::parse("test", &system("none")).unwrap();
    channel_address(&description.system, index)
        .unwrap()
        .as_u64()
}

fn start(emulator: Emulator, attack: &str) -> (Machine, Directory) {
    let built = Built::parse(&system(attack));
    // An endless attack makes counted time slow.
    let options = Options {
        bound: Duration::from_secs(180),
        ..built.options(emulator)
    };
    let mut machine = tern_tests::start(options, &built.module);
    let directory = directory(&mut machine);
    wait_for(&mut machine, "[bystander] kernel: ");
    (machine, directory)
}

fn wait_for(machine: &mut Machine, text: &str) -> String {
    machine
        .wait_for(text)
        .unwrap_or_else(|error| panic!("{error}"))
}

/// The bystander's trace, read while the machine stands still.
fn bystander(machine: &mut Machine, directory: &Directory) -> Core {
    machine.monitor.stop().unwrap();
    let core = record::core(&machine.memory, &directory.entries[0], "bystander").unwrap();
    machine.monitor.resume().unwrap();
    core
}

fn count(core: &Core, wanted: impl Fn(&Event) -> bool) -> usize {
    let events = core.events().map(|event| event.unwrap().1);
    events.filter(|event| wanted(event)).count()
}

/// Waits until the bystander has completed three jobs more, none of them late, and
/// sees that nobody but the attacker was stopped.
fn others_go_on(machine: &mut Machine, directory: &Directory) {
    let completed = |core: &Core| count(core, |it| matches!(it, Event::Complete { .. }));
    let before = completed(&bystander(machine, directory));
    loop {
        let core = bystander(machine, directory);
        assert_eq!(count(&core, |it| matches!(it, Event::Miss { .. })), 0);
        if completed(&core) >= before + 3 {
            break;
        }
        machine.check().unwrap();
        std::thread::sleep(Duration::from_millis(100));
    }
    for index in [0, 2] {
        let record = violation(&machine.memory, &directory.entries[index]).unwrap();
        assert_eq!(record, None, "sandbox {index}");
    }
}

/// The attack ends in a violation with this reason and object, and its line on the
/// console says `what`.
#[track_caller]
fn stopped(emulator: Emulator, attack: &str, reason: ExitReason, object: u64, what: &str) {
    let (mut machine, directory) = start(emulator, attack);
    let line = wait_for(&mut machine, "sandbox attacker stopped: ");
    assert!(line.contains(what), "'{line}' does not say '{what}'");
    let record = violation(&machine.memory, &directory.entries[1]).unwrap();
    let record = record.unwrap_or_else(|| panic!("no record of '{line}'"));
    assert_eq!(record.reason, reason as u64 + 1, "{line}");
    assert_eq!(record.object, object, "{line}");
    assert!(record.tsc > directory.header.epoch_tsc);
    others_go_on(&mut machine, &directory);
    let survived = |line: &String| line.contains("survived");
    assert!(!machine.console.lines().iter().any(survived));
}

/// The attack is answered with `result`, and nobody is stopped.
#[track_caller]
fn refused(attack: &str, result: i64) {
    let (mut machine, directory) = start(Emulator::Installed, attack);
    let line = wait_for(&mut machine, "survived: ");
    let wanted = format!(" gave {:#x}", result as u64);
    assert!(line.ends_with(&wanted), "'{line}' is not '{wanted}'");
    others_go_on(&mut machine, &directory);
}

/// The attack keeps the attacker's own core busy, and nobody else.
#[track_caller]
fn endured(attack: &str) {
    let (mut machine, directory) = start(Emulator::Installed, attack);
    wait_for(&mut machine, "attacking: ");
    others_go_on(&mut machine, &directory);
    let record = violation(&machine.memory, &directory.entries[1]).unwrap();
    assert_eq!(record, None);
}

macro_rules! stopped {
    ($($name:ident: $emulator:ident $attack:expr => $reason:ident $object:expr, $what:expr;)*) => {
        $(
            #[test]
            fn $name() {
                let reason = ExitReason::$reason;
                stopped(Emulator::$emulator, &$attack, reason, $object, $what);
            }
        )*
    };
}

stopped! {
    reading_outside_its_memory:
        Installed "memory-read" => NestedPageFault ATTACKER_BYTES, "read of guest-physical";
    writing_outside_its_memory:
        Installed "memory-write" => NestedPageFault ATTACKER_BYTES, "write of guest-physical";
    executing_outside_its_memory:
        Installed "memory-execute" => NestedPageFault ATTACKER_BYTES, "instruction fetch";
    writing_a_channel_that_it_reads:
        Installed format!("channel-write {:x}", channel(READ_BY_ATTACKER))
        => NestedPageFault channel(READ_BY_ATTACKER), "write of guest-physical";
    reading_a_channel_of_others:
        Installed format!("channel-read {:x}", channel(OF_OTHERS))
        => NestedPageFault channel(OF_OTHERS), "read of guest-physical";
    writing_a_channel_of_others:
        Installed format!("channel-write {:x}", channel(OF_OTHERS))
        => NestedPageFault channel(OF_OTHERS), "write of guest-physical";
    writing_the_system_image:
        Installed "image-write" => NestedPageFault IMAGE_BASE.as_u64(), "write of guest-physical";
    writing_its_exit_counts:
        Installed "exit-counts-write"
        => NestedPageFault EXIT_COUNTS_BASE.as_u64(), "write of guest-physical";
    writing_past_its_trace_ring:
        Installed "trace-outside"
        => NestedPageFault TRACE_BASE.as_u64() + TRACE_BYTES, "write of guest-physical";
    programming_the_apic_page_at_another_core:
        Installed "apic-page" => NestedPageFault APIC_PAGE + 0x310, "write of guest-physical";
    programming_the_apic_page_at_another_core_beside_an_x2apic:
        Qemu10 "apic-page" => NestedPageFault APIC_PAGE + 0x310, "write of guest-physical";
    sending_init_by_the_apic_page:
        Installed "apic-init-page" => NestedPageFault APIC_PAGE + 0x300, "write of guest-physical";
    sending_an_interrupt_to_another_core:
        Qemu10 "interrupt" => InterruptCommand INTERRUPT_COMMAND, "interrupt sent to core 0";
    sending_an_interrupt_to_another_core_without_x2apic:
        Installed "interrupt" => InterruptCommand INTERRUPT_COMMAND, "interrupt sent to core 0";
    sending_init_to_another_core:
        Qemu10 "init" => InterruptCommand INTERRUPT_COMMAND, "INIT sent to core 0";
    starting_another_core:
        Qemu10 "startup" => InterruptCommand INTERRUPT_COMMAND, "start-up interrupt sent";
    sending_an_nmi_to_another_core:
        Qemu10 "nmi" => InterruptCommand INTERRUPT_COMMAND, "NMI sent to core 0";
    sending_an_interrupt_to_all_cores:
        Qemu10 "broadcast" => InterruptCommand INTERRUPT_COMMAND, "interrupt sent";
    reading_a_port_that_is_not_its_own:
        Installed "port-read" => Port 0x60, "read of port 0x60";
    unmasking_the_legacy_interrupt_controller:
        Installed "port-write" => Port 0x21, "write of port 0x21";
    configuring_the_pci_bus:
        Installed "pci" => Port 0xcf8, "write of port 0xcf8";
    reading_a_register_of_the_hypervisor:
        Installed "msr-read" => Msr 0xc001_0117, "read of model-specific register";
    writing_a_register_of_the_hypervisor:
        Installed "msr-write" => Msr 0xc001_0117, "write of 0xfee00000";
    moving_its_apic:
        Installed "msr-apic-base" => Msr 0x1b, "model-specific register 0x1b";
    reading_a_register_that_no_bitmap_covers:
        Installed "msr-unknown" => Msr 0x4000_0000, "read of model-specific register";
    a_triple_fault:
        Installed "triple-fault" => Shutdown 0, "triple fault";
    enabling_extended_state:
        Qemu10 "xsetbv" => Instruction 0, "XSETBV executed";
    running_a_guest_of_its_own:
        Installed "vmrun" => Instruction 0, "VMRUN executed";
    setting_the_global_interrupt_flag:
        Installed "stgi" => Instruction 0, "STGI executed";
    clearing_the_global_interrupt_flag:
        Installed "clgi" => Instruction 0, "CLGI executed";
    flushing_all_caches:
        Installed "wbinvd" => Instruction 0, "WBINVD executed";
    // QEMU 7.2 calls INVD so too.
    dropping_all_caches:
        Installed "invd" => Instruction 0, "INVD executed";
    monitoring_memory:
        Installed "monitor" => Instruction 0, "MONITOR executed";
    reading_performance_counters:
        Installed "rdpmc" => Instruction 0, "RDPMC executed";
}

#[test]
fn sending_init_by_apic_hypercall() {
    refused("apic-hypercall", HypercallError::NotPermitted as i64);
}

#[test]
fn ringing_a_doorbell_of_others() {
    refused(
        &format!("doorbell {OF_OTHERS:x}"),
        HypercallError::NotPermitted as i64,
    );
}

#[test]
fn ending_the_run_without_permission() {
    refused("shut-down", HypercallError::NotPermitted as i64);
}

#[test]
fn printing_memory_that_is_not_its_own() {
    refused("console-outside", HypercallError::BadArgument as i64);
}

#[test]
fn hypercalls_with_arguments_that_make_no_sense() {
    // The number of those that were accepted.
    refused("hypercall-arguments", 0);
}

#[test]
fn exceptions_without_end() {
    endured("exception-loop");
}

#[test]
fn debug_exceptions_inside_debug_exceptions() {
    endured("debug-loop");
}

#[test]
fn hypercalls_without_end() {
    endured("hypercall-flood");
}

#[test]
fn a_core_that_never_rests() {
    endured("spin");
}

/// A guest that reads port 0x60, which is a device of its own; `plant` is a line of the
/// program in the other sandbox.
fn reader_of_its_own_port(plant: &str) -> Built {
    Built::parse(&format!(
        r#"
        [system]
        name = "ports"
        [[device]]
        name = "own"
        port = 0x60
        port_count = 1
        interrupt = 1
        [[sandbox]]
        name = "other"
        core = 0
        memory = "8MiB"
        [[sandbox.server]]
        name = "load"
        budget = "20ms"
        period = "200ms"
        [[sandbox.server.thread]]
        name = "load"
        wcet = "10ms"
        period = "200ms"
        program = "load"
        {plant}
        [[sandbox]]
        name = "reader"
        core = 1
        memory = "4MiB"
        kernel = "guest-hostile"
        command_line = "port-read"
        devices = ["own"]
        [[sandbox.server]]
        name = "driver"
        budget = "1ms"
        period = "10ms"
        [[sandbox.server.thread]]
        name = "driver"
        driver = "own"
        "#
    ))
}

#[test]
fn the_ports_of_a_device_are_its_sandboxs_unless_a_plant_simulates_it() {
    for (plant, said) in [
        ("", "[reader] survived: port-read"),
        ("simulates = \"own\"", "reader stopped: read of port 0x60"),
    ] {
        let mut machine = reader_of_its_own_port(plant).start(Emulator::Installed);
        wait_for(&mut machine, said);
    }
}
