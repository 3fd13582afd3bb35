//! What the hypervisor on one core reaches once its guest runs, beside its own image: nothing of
//! other sandboxes, so that not even a mispredicted path reads it.
use super::partition::Facts;
use crate::cores::Core;
use crate::memory::mapping::Access;
use crate::ranges::{Range, Ranges};
use crate::sandbox::Sandbox;
use crate::vendor::AnyGuest;
use alloc::vec::Vec;
use core::ptr;
use tern_machine::apic::LocalApic;
use tern_units::PAGE_SIZE;

/// Returns what the hypervisor on `core` reaches for what it will `launch`.
#[must_use]
pub fn private(
    core: &Core,
    launch: Option<&(AnyGuest, Sandbox)>,
    facts: &Facts,
) -> Vec<(Range, Access)> {
    let page = |address: u64| Range::new(address & !(PAGE_SIZE as u64 - 1), PAGE_SIZE as u64);
    let mut written = Ranges::new();
    for range in core.memory() {
        written.add(range);
    }
    let mut reach = Vec::new();
    if let Some((guest, sandbox)) = launch {
        written.add(page(guest.block().as_u64()));
        written.add(page(ptr::from_ref(sandbox.owner.record) as u64));
        let own = sandbox.seals.iter().map(|it| *it.seal());
        let closable = sandbox.closable.iter().map(|it| *it.seal());
        for seal in own.chain(closable) {
            written.add(page(ptr::from_ref(seal.word()) as u64));
        }
        if let LocalApic::Xapic(address) = facts.local {
            written.add(page(address));
        }
        // Only who has lines masks them in the end.
        if !sandbox.owner.lines.is_empty() {
            for controller in &facts.machine.tables.io_apics {
                written.add(page(controller.address.into()));
            }
        }
        // What those say about the owner with whom it shares a device.
        let mut read = Ranges::new();
        let verdicts = sandbox.owner.share.iter();
        for verdict in verdicts.flat_map(|it| it.device().verdicts()) {
            let [first, second] = verdict.owner;
            for word in [verdict.seal, first, second] {
                read.add(page(ptr::from_ref(word) as u64));
            }
        }
        written.iter().for_each(|range| read.remove(range));
        reach.extend(read.iter().map(|range| (range, Access::ReadOnly)));
        // Its texts for the console are all that is read of its memory.
        let memory = Range::new(sandbox.memory, sandbox.memory_bytes);
        reach.push((memory, Access::ReadOnly));
    }
    reach.extend(written.iter().map(|range| (range, Access::ReadWrite)));
    reach
}
