//! A sandbox while it runs: what it may ask for, what is counted, and how it ends.
pub mod handover;
pub mod record;
pub mod seal;

use crate::console::LineBuffer;
use crate::devices::io_apic;
use crate::doorbell::Doorbell;
use crate::ending;
use crate::guest::Exit;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};
use record::Owner;
use seal::{ClosableChannel, SealedChannel};
use tern_abi::directory::{ExitReason, Violation};
use tern_abi::hypercall::{Hypercall, HypercallError};
use tern_machine::apic::{LocalApic, Register};
use tern_machine::cpu::timestamp;
use tern_machine::port;

/// Sandboxes that have not stopped.
pub static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// One sandbox on its core.
#[derive(Debug)]
pub struct Sandbox {
    /// Its name, record and APIC.
    pub owner: &'static Owner,
    /// Its memory: the machine's address of its guest-physical zero, mapped to itself.
    pub memory: u64,
    /// The size of its memory.
    pub memory_bytes: u64,
    /// Its core's APIC id.
    pub apic_id: u32,
    /// The doorbells of the channels that it writes.
    pub doorbells: Vec<Doorbell>,
    /// The sealed channels that it writes.
    pub seals: Vec<SealedChannel>,
    /// The sealed channels that it reads and may close, in the order of the description.
    pub closable: Vec<ClosableChannel>,
    /// Whether it may end the machine's run.
    pub may_shut_down: bool,
    /// The line it is writing on the console.
    pub line: LineBuffer,
    /// Whether the console has said that there was a non-maskable interrupt.
    pub nmi_was_told: bool,
}

impl Sandbox {
    /// Says once that a non-maskable interrupt came to its core that nobody sent. The machine may
    /// be failing: this one line is waited for.
    pub fn tell_nmi(&mut self) {
        if !core::mem::replace(&mut self.nmi_was_told, true) {
            let Owner { name, console, .. } = self.owner;
            console.say(format_args!(
                "an NMI that nobody sent came to the core of sandbox {name}: look for bad memory"
            ));
            console.flush();
        }
    }

    /// Whether it reaches its local APIC itself.
    #[must_use]
    pub fn owns_apic(&self) -> bool {
        self.owner.local == LocalApic::X2apic
    }

    /// Stops this sandbox for good and keeps its core: the record first, then one line on the
    /// console that ends in `what`.
    pub fn stop(&mut self, violation: Violation, what: fmt::Arguments<'_>) -> ! {
        self.owner.record.end(&violation);
        self.line.finish();
        let at = violation.instruction;
        retire(
            self.owner,
            &violation,
            format_args!("{what} at instruction {at:#x}"),
        )
    }
}

/// Ends the core of a sandbox for good: writes the record, takes its interrupt sources away and
/// says on the console `what` stopped it, after what the sandbox said itself.
pub fn retire(owner: &Owner, violation: &Violation, what: fmt::Arguments<'_>) -> ! {
    owner.record.end(violation);
    if owner.has_ended.swap(true, Ordering::Relaxed) {
        ending::rest() // the end itself has failed
    }
    // SAFETY: the guest does not run again; masking its sources affects it alone.
    unsafe {
        owner.local.write(Register::TIMER_INITIAL, 0);
        owner.local.mask_local_entries();
    }
    io_apic::mask_lines(&owner.lines);
    if let Some(share) = owner.share {
        share.leave();
    }
    // What follows may take long: nobody is on this core any more who would have to wait.
    ending::open_global_interrupts();

    let console = owner.console;
    console.recover();
    console.flush(); // so that there is room for the reason
    console.say(format_args!("sandbox {} stopped: {what}", owner.name));
    if RUNNING.fetch_sub(1, Ordering::AcqRel) == 1 {
        console.flush_all();
        console.say(format_args!("every sandbox has stopped"));
        console.flush();
        port::stop_emulator();
    }
    console.flush();
    ending::rest()
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

/// The reason under which a hypercall is counted.
#[must_use]
pub fn reason_of_call(call: Result<Hypercall, HypercallError>) -> ExitReason {
    match call {
        Ok(Hypercall::ApicRead | Hypercall::ApicWrite) => ExitReason::ApicHypercall,
        // Until it has rung.
        Ok(Hypercall::Doorbell) => ExitReason::RefusedDoorbell,
        Ok(Hypercall::Seal) => ExitReason::Seal,
        Ok(Hypercall::Close) => ExitReason::Close,
        Ok(Hypercall::Take) => ExitReason::Take,
        _ => ExitReason::Hypercall,
    }
}

/// The reason under which an exit is counted; `register` is the number of a model-specific
/// register, RCX as the exit has it.
#[must_use]
pub fn reason(exit: &Exit, register: u32) -> ExitReason {
    match exit {
        Exit::Hypercall => ExitReason::Hypercall, // by its number: `reason_of_call`
        Exit::Cpuid => ExitReason::Cpuid,
        Exit::WriteMsr if register == Register::INTERRUPT_COMMAND.msr() => {
            ExitReason::InterruptCommand
        }
        Exit::ReadMsr | Exit::WriteMsr => ExitReason::Msr,
        Exit::Port { .. } => ExitReason::Port,
        Exit::Memory { .. } => ExitReason::NestedPageFault,
        Exit::Exception(_) => ExitReason::Exception,
        Exit::WriteCr0 | Exit::WriteCr4 => ExitReason::ControlRegister,
        Exit::Nmi => ExitReason::Nmi, // or `Attend`, once it is known who sent it
        Exit::AtOnce => ExitReason::Attend,
        Exit::MachineCheck => ExitReason::MachineCheck,
        Exit::Interrupt => ExitReason::Interrupt,
        Exit::Shutdown => ExitReason::Shutdown,
        Exit::Init => ExitReason::Init,
        Exit::Instruction(_) => ExitReason::Instruction,
        Exit::InvalidState | Exit::EntryRefused(_) | Exit::Other(_) => ExitReason::Other,
    }
}
