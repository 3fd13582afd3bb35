//! A sandbox while it runs: what it may ask for, what is counted, and how it ends.
use crate::console::LineBuffer;
use crate::devices::io_apic;
use crate::doorbell::Doorbell;
use crate::guest::Exit;
use crate::say;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tern_abi::directory::{ExitReason, Violation};
use tern_machine::apic::{LVT_MASKED, LocalApic, Register};
use tern_machine::cpu::{halt_forever, timestamp};
use tern_machine::port;

/// Sandboxes that have not stopped.
pub static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// What the outside reads of a sandbox, in one page that the sandbox sees read-only.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct Record {
    /// Exits by reason.
    pub exits: [AtomicU64; ExitReason::ALL.len()],
    /// What stopped it.
    pub violation: [AtomicU64; Violation::WORDS],
}

/// One sandbox on its core.
#[derive(Debug)]
pub struct Sandbox {
    /// Its name.
    pub name: &'static str,
    /// Its memory: the machine's address of its guest-physical zero, mapped to itself.
    pub memory: u64,
    /// The size of its memory.
    pub memory_bytes: u64,
    /// Its counts and record.
    pub record: &'static Record,
    /// Its core's local APIC.
    pub local: LocalApic,
    /// Its core's APIC id.
    pub apic_id: u32,
    /// The doorbells of the channels that it writes.
    pub doorbells: Vec<Doorbell>,
    /// The interrupt lines of its devices.
    pub lines: Vec<u8>,
    /// Whether it may end the machine's run.
    pub may_shut_down: bool,
    /// The line it is writing on the console.
    pub console: LineBuffer,
}

impl Sandbox {
    /// Whether it reaches its local APIC itself.
    #[must_use]
    pub fn owns_apic(&self) -> bool {
        self.local == LocalApic::X2apic
    }

    /// Counts an exit.
    #[inline]
    pub fn count(&self, reason: ExitReason) {
        let count = &self.record.exits[reason as usize];
        // This core is the only writer.
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Counts an exit for `reason` that was counted for `other`.
    pub fn count_instead(&self, other: ExitReason, reason: ExitReason) {
        let count = &self.record.exits[other as usize];
        count.store(count.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
        self.count(reason);
    }

    /// Stops this sandbox for good and keeps its core: the record first, then one line
    /// on the console that ends in `what`.
    pub fn stop(&mut self, violation: Violation, what: core::fmt::Arguments<'_>) -> ! {
        let words = violation.to_words();
        for (slot, word) in self.record.violation.iter().zip(words).skip(1) {
            slot.store(word, Ordering::Relaxed);
        }
        self.record.violation[0].store(words[0], Ordering::Release);
        self.console.finish();
        say!(
            "sandbox {} stopped: {what} at instruction {:#x}",
            self.name,
            violation.instruction
        );
        self.silence();
        if RUNNING.fetch_sub(1, Ordering::Relaxed) == 1 {
            say!("every sandbox has stopped");
            port::stop_emulator();
        }
        halt_forever()
    }

    /// Takes the core's interrupt sources away from a stopped guest.
    fn silence(&self) {
        // SAFETY: the guest does not run again; masking its sources affects it alone.
        unsafe {
            self.local.write(Register::TIMER_INITIAL, 0);
            for entry in [
                Register::LVT_TIMER,
                Register::LVT_LINT0,
                Register::LVT_LINT1,
                Register::LVT_ERROR,
            ] {
                self.local.write(entry, LVT_MASKED);
            }
        }
        io_apic::mask_lines(&self.lines);
    }
}

/// A violation of kind `reason`, now, with the guest's instruction pointer.
#[must_use]
pub fn violation(reason: ExitReason, object: u64, value: u64, instruction: u64) -> Violation {
    Violation {
        reason: reason as u64 + 1,
        object,
        value,
        instruction,
        tsc: timestamp(),
    }
}

/// The reason under which an exit is counted; `number` is the hypercall's or the
/// register's, RAX or RCX as the exit has it.
#[must_use]
pub fn reason(exit: &Exit, rax: u64, rcx: u64) -> ExitReason {
    use tern_abi::hypercall::Hypercall;
    match exit {
        Exit::Hypercall => match Hypercall::try_from(rax) {
            Ok(Hypercall::ApicRead | Hypercall::ApicWrite) => ExitReason::ApicHypercall,
            // Until it has rung.
            Ok(Hypercall::Doorbell) => ExitReason::RefusedDoorbell,
            _ => ExitReason::Hypercall,
        },
        Exit::Cpuid => ExitReason::Cpuid,
        Exit::WriteMsr if rcx as u32 == Register::INTERRUPT_COMMAND.msr() => {
            ExitReason::InterruptCommand
        }
        Exit::ReadMsr | Exit::WriteMsr => ExitReason::Msr,
        Exit::Port { .. } => ExitReason::Port,
        Exit::Memory { .. } => ExitReason::NestedPageFault,
        Exit::Exception(_) => ExitReason::Exception,
        Exit::Nmi => ExitReason::Nmi,
        Exit::MachineCheck => ExitReason::MachineCheck,
        Exit::Interrupt => ExitReason::Interrupt,
        Exit::Shutdown => ExitReason::Shutdown,
        Exit::Init => ExitReason::Init,
        Exit::Instruction(_) => ExitReason::Instruction,
        Exit::InvalidState | Exit::Other(_) => ExitReason::Other,
    }
}
