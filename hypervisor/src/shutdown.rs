//! The end of the machine's run, for every core.
use crate::{console, ending, faults};
use arrayvec::ArrayVec;
use core::fmt::Write;
use spin::Once;
use tern_machine::apic::{self, LocalApic};
use tern_machine::port;

static STARTED: Once<ArrayVec<u32, { tern_firmware::acpi::MAX_CORES }>> = Once::new();

/// Keeps the APIC ids of the cores that were started.
pub fn remember(started: ArrayVec<u32, { tern_firmware::acpi::MAX_CORES }>) {
    STARTED.call_once(|| started);
}

/// Ends the machine's run with `status`: stops every other core by an NMI, prints what all
/// sandboxes have said and the line that tools wait for, and stops this core.
///
/// No core misses it. A guest exits at an NMI, and its core halts. Under AMD-V an NMI that
/// comes while the hypervisor runs is held back until the next entry, and exits at once
/// (APM vol. 2 §15.17, global interrupt flag). Under VT-x it is taken there and then (SDM
/// vol. 3 §26.1), just before the entry too: so its handler halts the core itself, which
/// may be done anywhere but where the core would keep the console with it.
pub fn end(local: LocalApic, status: u64) -> ! {
    if ending::begin() {
        let mut console = console::keep(|| stop_others(local));
        // The console's writes do not fail.
        let strangers = faults::unclaimed_nmis();
        if strangers > 0 {
            let _ = writeln!(console, "tern: {strangers} NMIs came that nobody sent");
        }
        let _ = writeln!(console, "tern: shut down with status {status}");
        port::stop_emulator();
    }
    ending::rest()
}

fn stop_others(local: LocalApic) {
    let own = local.id();
    let started = STARTED.get().into_iter().flatten();
    for &id in started.filter(|&&id| id != own) {
        // SAFETY: as `end` says: the other cores halt.
        unsafe { local.send(id, apic::COMMAND_NMI) };
    }
}
