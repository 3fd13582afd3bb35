//! What goes wrong in the hypervisor itself, or reaches it from the machine: it is recorded and
//! said, it costs one sandbox at most, and the next one misses nothing.
use tern_abi::directory::ExitReason;
use tern_tests::{Built, Platform, QEMU, QEMU_10, Running, on_each_machine, symbol, text};
use xtask::build;
use xtask::emulator::Registers;

const BYSTANDER: usize = 0;
const OTHER: usize = 1;

/// A bystander with a periodic load, and a guest of the tests with this command line.
fn system(guest: &str, line: &str) -> Built {
    let (load, guest) = (
        text::load("bystander", 0),
        text::guest("other", 1, guest, line),
    );
    Built::parse(&format!("[system]\nname = \"failing\"\n{load}\n{guest}"))
}

fn the_hypervisor_faults(platform: Platform) {
    const PAGE_FAULT: u64 = 14;
    // Given a core that is in the hypervisor again and again: its guest's stack is elsewhere,
    // and the way into the guest still has the guest's segments under AMD-V,
    let mut machine = Running::start(&system("guest-hostile", "hypercall-flood"), platform);
    machine.wait_for("attacking: ");
    let of_guest = 2 << 20..4 << 20;
    let entry = symbol(build::HYPERVISOR, |name| {
        name.contains(if platform.has_vt_x() {
            "vmx5enter5enter"
        } else {
            "svm5enter5enter"
        })
    });
    let is_inside = |at: &Registers| {
        !of_guest.contains(&at.general[Registers::STACK]) && !entry.contains(&at.instruction)
    };
    // when it goes astray there, to page zero,
    machine.derail(OTHER as u32, is_inside, 0, 0);
    // then the console says what happened, the record has it, and the bystander goes on.
    let line = machine.wait_for("hypervisor fault");
    assert!(line.contains("sandbox other stopped"), "{line}");
    let record = machine.violation(OTHER).unwrap();
    assert_eq!(
        record.reason,
        ExitReason::Hypervisor as u64 + 1,
        "{record:x?}"
    );
    let place = (record.object, record.value, record.instruction);
    assert_eq!(place, (PAGE_FAULT, 0, 0), "{record:x?}");
    machine.goes_on(BYSTANDER, 5);
    assert_eq!(machine.violation(BYSTANDER), None);
}

on_each_machine! {
    a_fault_of_the_hypervisor_is_recorded_and_stops_one_core => the_hypervisor_faults;
}

/// An NMI that nobody of ours sent is a device's or the memory's.
fn an_nmi_is_told(platform: Platform) {
    // Given a sandbox that runs, and a core whose sandbox was stopped,
    let description = format!(
        "[system]\nname = \"failing\"\n{}\n{}\n{}may_shut_down = true\n",
        text::load("bystander", 0),
        text::guest("other", 1, "guest-hostile", "port-read"),
        text::guest("last", 2, "guest-hello", "400"),
    );
    let mut machine = Running::start(&Built::parse(&description), platform);
    machine.wait_for("sandbox other stopped");
    // when an NMI comes to each,
    machine.send_nmi(BYSTANDER as u64);
    machine.send_nmi(OTHER as u64);
    // then it is said whose core had it, the sandbox goes on, and in the end both are counted:
    // a stopped core takes it too.
    let line = machine.wait_for("an NMI that nobody sent");
    assert!(line.contains("sandbox bystander"), "{line}");
    machine.goes_on(BYSTANDER, 2);
    machine.run_to_the_end();
    let lines = machine.lines();
    let counted = lines
        .iter()
        .any(|line| line == "tern: 2 NMIs came that nobody sent");
    assert!(counted, "{lines:#?}");
}

#[test]
fn an_nmi_that_nobody_sent_is_told_on_qemu() {
    an_nmi_is_told(QEMU);
}

#[test]
fn an_nmi_that_nobody_sent_is_told_on_qemu_10() {
    an_nmi_is_told(QEMU_10);
}

/// What firmware made of the pins of a local APIC is undone before guests run.
#[test]
fn a_pin_that_firmware_made_a_source_of_nmis_reaches_nobody() {
    let description = format!(
        "[system]\nname = \"failing\"\n{}\n{}may_shut_down = true\n",
        text::load("bystander", 0),
        text::guest("last", 1, "guest-hello", "400"),
    );
    let mut machine = Running::start(&Built::parse(&description), QEMU);
    machine.goes_on(BYSTANDER, 1);
    machine.raise_nmi_pins();
    machine.goes_on(BYSTANDER, 2);
    machine.run_to_the_end();
    let lines = machine.lines();
    assert!(!lines.iter().any(|line| line.contains("NMI")), "{lines:#?}");
}
