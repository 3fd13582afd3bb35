//! What the outside reads of a sandbox: how often it left, and why its core ended.
use super::handover::Share;
use crate::console::SandboxConsole;
use crate::vendor::Vendor;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tern_abi::directory::{ExitReason, Violation};
use tern_machine::apic::LocalApic;

/// A sandbox's counts, in one page that the sandbox sees read-only.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct Record {
    /// Exits by reason.
    pub exits: [AtomicU64; ExitReason::ALL.len()],
    /// What stopped it.
    pub violation: [AtomicU64; Violation::WORDS],
}

impl Record {
    /// Counts an exit. Its core alone writes the counts.
    #[inline]
    pub fn count(&self, reason: ExitReason) {
        let count = &self.exits[reason as usize];
        // 64 bits do not wrap in the life of a machine; a check for it made hypercalls 7 % longer.
        let more = count.load(Ordering::Relaxed).wrapping_add(1);
        count.store(more, Ordering::Relaxed);
    }

    /// Counts an exit for `reason` that was counted for `other`.
    pub fn count_instead(&self, other: ExitReason, reason: ExitReason) {
        let count = &self.exits[other as usize];
        let less = count.load(Ordering::Relaxed).wrapping_sub(1);
        count.store(less, Ordering::Relaxed);
        self.count(reason);
    }

    /// Writes down why the core ends, its first word last; the first reason stays.
    pub fn end(&self, violation: &Violation) {
        let words = violation.to_words();
        if self.violation[0].load(Ordering::Relaxed) != 0 {
            return;
        }
        for (slot, word) in self.violation.iter().zip(words).skip(1) {
            slot.store(word, Ordering::Relaxed);
        }
        self.violation[0].store(words[0], Ordering::Release);
    }
}

/// Whose a core is: what the hypervisor needs to say so wherever it is.
#[derive(Debug)]
pub struct Owner {
    /// The sandbox's name.
    pub name: &'static str,
    /// Its counts and record.
    pub record: &'static Record,
    /// The sandbox's part of the console.
    pub console: SandboxConsole,
    /// The core's local APIC.
    pub local: LocalApic,
    /// The core's virtualization.
    pub vendor: Vendor,
    /// The interrupt lines of the sandbox's devices.
    pub lines: Vec<u8>,
    /// The sandbox's part in a device that it shares.
    pub share: Option<Share>,
    /// Whether the core has come to its end.
    pub has_ended: AtomicBool,
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    fn empty() -> Record {
        Record {
            exits: [const { AtomicU64::new(0) }; ExitReason::ALL.len()],
            violation: [const { AtomicU64::new(0) }; Violation::WORDS],
        }
    }

    #[test]
    fn the_first_reason_for_an_end_stays() {
        let record = empty();
        let violation = |reason| Violation {
            reason,
            instruction: 0x1000 * reason,
            ..Violation::default()
        };
        record.end(&violation(5));
        record.end(&violation(9));
        let words = record
            .violation
            .each_ref()
            .map(|word| word.load(Ordering::Relaxed));
        assert_eq!(Violation::from_words(&words), violation(5));
    }

    #[test]
    fn an_exit_is_counted_under_one_reason() {
        let record = empty();
        record.count(ExitReason::Hypercall);
        record.count(ExitReason::Doorbell);
        record.count_instead(ExitReason::Doorbell, ExitReason::RefusedDoorbell);
        let counted = |reason: &ExitReason| record.exits[*reason as usize].load(Ordering::Relaxed);
        let counts: std::vec::Vec<_> = ExitReason::ALL
            .iter()
            .filter(|it| counted(it) > 0)
            .collect();
        assert_eq!(
            counts,
            [&ExitReason::Hypercall, &ExitReason::RefusedDoorbell]
        );
    }
}
