//! What happens at each exit: served and back into the guest, or the sandbox stops.
use crate::cores;
use crate::cpuid;
use crate::guest::{Event, Exit, Guest};
use crate::hypercalls::{self, Outcome};
use crate::sandbox::{Sandbox, reason, violation};
use tern_abi::directory::ExitReason;
use tern_machine::apic::{LVT_MASKED, Register};
use tern_machine::cpu::halt_forever;

/// Runs `guest` as `sandbox` until it stops, for good.
pub fn run<G: Guest>(mut guest: G, mut sandbox: Sandbox) -> ! {
    loop {
        let exit = guest.run();
        let (rax, rcx) = (guest.registers().rax, guest.registers().rcx);
        let why = reason(&exit, rax, rcx);
        sandbox.count(why);
        serve(&mut guest, &mut sandbox, exit, why);
    }
}

fn serve<G: Guest>(guest: &mut G, sandbox: &mut Sandbox, exit: Exit, why: ExitReason) {
    let at = guest.instruction_pointer();
    match exit {
        Exit::Hypercall if guest.ring() != 0 => guest.inject(Event::INVALID_OPCODE),
        Exit::Hypercall => match hypercalls::serve(sandbox, guest.registers()) {
            Outcome::Return(value) => {
                guest.registers().rax = value;
                guest.skip_instruction();
            }
            Outcome::Stop(code) => sandbox.stop(
                violation(why, code, 0, at),
                format_args!("it asked to, with code {code}"),
            ),
        },
        // Replicas must not see what differs between cores.
        Exit::Cpuid if guest.ring() != 0 => guest.inject(Event::GENERAL_PROTECTION),
        Exit::Cpuid => {
            let owns_apic = sandbox.owns_apic();
            let registers = guest.registers();
            let seen = cpuid::filtered(registers.rax as u32, registers.rcx as u32, owns_apic);
            registers.rax = u64::from(seen.eax);
            registers.rbx = u64::from(seen.ebx);
            registers.rcx = u64::from(seen.ecx);
            registers.rdx = u64::from(seen.edx);
            guest.skip_instruction();
        }
        Exit::ReadMsr => read_msr(guest, sandbox, why),
        Exit::WriteMsr => write_msr_exit(guest, sandbox, why),
        Exit::Port { port, write } => sandbox.stop(
            violation(why, u64::from(port), u64::from(write), at),
            format_args!("{} of port {port:#x}", if write { "write" } else { "read" }),
        ),
        Exit::Memory { address, error } => {
            const WRITE: u64 = 1 << 1;
            const FETCH: u64 = 1 << 4;
            let what = match error {
                _ if error & FETCH != 0 => "instruction fetch from",
                _ if error & WRITE != 0 => "write of",
                _ => "read of",
            };
            sandbox.stop(
                violation(why, address.as_u64(), error, at),
                format_args!("{what} guest-physical {address}"),
            )
        }
        Exit::Exception(event) => guest.inject(event),
        Exit::Nmi => {
            guest.take_pending_nmi();
            if cores::is_ending() {
                halt_forever();
            }
        }
        Exit::MachineCheck => {
            sandbox.stop(violation(why, 18, 0, at), format_args!("machine check"))
        }
        // Not intercepted; an exit for one leaves it pending for the guest.
        Exit::Interrupt => {}
        Exit::Shutdown => sandbox.stop(violation(why, 0, 0, at), format_args!("triple fault")),
        Exit::Init => sandbox.stop(violation(why, 0, 0, at), format_args!("INIT received")),
        Exit::Instruction(name) => match guest.ring() {
            0 => sandbox.stop(violation(why, 0, 0, at), format_args!("{name} executed")),
            // A program's offence is its kernel's to judge.
            _ => guest.inject(Event::INVALID_OPCODE),
        },
        Exit::InvalidState => sandbox.stop(
            violation(why, u64::MAX, 0, at),
            format_args!("the processor refuses its state"),
        ),
        Exit::Other(code) => sandbox.stop(
            violation(why, code, 0, at),
            format_args!("unexpected exit with code {code:#x}"),
        ),
    }
}

fn read_msr<G: Guest>(guest: &mut G, sandbox: &mut Sandbox, why: ExitReason) {
    let register = guest.registers().rcx as u32;
    let at = guest.instruction_pointer();
    let Some(value) = guest.read_kept_msr(register) else {
        sandbox.stop(
            violation(why, u64::from(register), 0, at),
            format_args!("read of model-specific register {register:#x}"),
        );
    };
    let registers = guest.registers();
    registers.rax = value & 0xffff_ffff;
    registers.rdx = value >> 32;
    guest.skip_instruction();
}

fn write_msr_exit<G: Guest>(guest: &mut G, sandbox: &mut Sandbox, why: ExitReason) {
    let registers = guest.registers();
    let register = registers.rcx as u32;
    let value = registers.rdx << 32 | registers.rax & 0xffff_ffff;
    let at = guest.instruction_pointer();
    match guest.write_kept_msr(register, value) {
        Some(Ok(())) => return guest.skip_instruction(),
        Some(Err(_)) => return guest.inject(Event::GENERAL_PROTECTION),
        None => {}
    }
    if sandbox.owns_apic() {
        if let Some(vector) = interrupt_to_self(register, value, sandbox.apic_id) {
            // SAFETY: an interrupt of this core's guest to itself, at a vector that is no
            // exception's.
            unsafe { sandbox.local.write(Register::SELF_INTERRUPT, vector) };
            return guest.skip_instruction();
        }
        // Nothing is written: the entry has no effect, and the processor may refuse the value
        // or have no such entry (Intel SDM vol. 3, "x2APIC register address space").
        if is_masked_local_entry(register, value) {
            return guest.skip_instruction();
        }
    }
    if why == ExitReason::InterruptCommand {
        stop_command(sandbox, value, at, why);
    }
    sandbox.stop(
        violation(why, u64::from(register), value, at),
        format_args!("write of {value:#x} to model-specific register {register:#x}"),
    )
}

fn stop_command(sandbox: &mut Sandbox, value: u64, at: u64, why: ExitReason) -> ! {
    const NMI: u64 = 4;
    const INIT: u64 = 5;
    const STARTUP: u64 = 6;
    let what = match value >> 8 & 7 {
        NMI => "NMI",
        INIT => "INIT",
        STARTUP => "start-up interrupt",
        _ => "interrupt",
    };
    sandbox.stop(
        violation(why, u64::from(Register::INTERRUPT_COMMAND.msr()), value, at),
        format_args!("{what} sent to core {} (command {value:#x})", value >> 32),
    )
}

/// The vector of the interrupt command that writing `value` to the x2APIC's `register` is,
/// if it is one of fixed delivery to the core itself.
fn interrupt_to_self(register: u32, value: u64, own_id: u32) -> Option<u32> {
    const DELIVERY_AND_MODE: u64 = 0xf << 8; // delivery mode, logical destination
    const SHORTHAND: u64 = 3 << 18;
    const SHORTHAND_SELF: u64 = 1 << 18;
    const FIRST_VECTOR: u32 = 32;
    let to_self = match value & SHORTHAND {
        SHORTHAND_SELF => true,
        0 => value >> 32 == u64::from(own_id),
        _ => false,
    };
    let vector = value as u32 & 0xff;
    let is_fixed = value & DELIVERY_AND_MODE == 0 && vector >= FIRST_VECTOR;
    (register == Register::INTERRUPT_COMMAND.msr() && to_self && is_fixed).then_some(vector)
}

/// Whether `register` is a local entry with a delivery mode, which may name system management
/// interrupts, and `value` masks it. The error entry has one on AMD's processors (APM vol. 2
/// §16.4).
fn is_masked_local_entry(register: u32, value: u64) -> bool {
    let local_entries = [
        Register::LVT_CORRECTED_ERROR,
        Register::LVT_THERMAL,
        Register::LVT_PERFORMANCE,
        Register::LVT_LINT0,
        Register::LVT_LINT1,
        Register::LVT_ERROR,
    ];
    let masked = value & u64::from(LVT_MASKED) != 0;
    masked && local_entries.iter().any(|entry| entry.msr() == register)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupt_command_reaches_nobody_but_its_sender() {
        const OWN: u32 = 2;
        for (value, allowed, what) in [
            (0x4_0041, true, "shorthand self"),
            (2 << 32 | 0x41, true, "own id"),
            (0x8004_0041, true, "reserved bits"),
            (3 << 32 | 0x41, false, "another core"),
            (0xffff_ffff << 32 | 0x41, false, "broadcast id"),
            (0x8_0041, false, "all"),
            (0xc_0041, false, "all but self"),
            (0x4_0500, false, "INIT to self"),
            (2 << 32 | 0x500, false, "INIT to own id"),
            (2 << 32 | 0x608, false, "start-up to own id"),
            (2 << 32 | 0x441, false, "NMI to own id"),
            (2 << 32 | 0x841, false, "logical destination"),
            (2 << 32 | 0x1f, false, "a vector of the exceptions"),
        ] {
            let vector = interrupt_to_self(0x830, value, OWN);
            assert_eq!(vector, allowed.then_some(0x41), "{what}");
        }
    }

    #[test]
    fn local_entries_with_a_delivery_mode_stay_masked() {
        assert!(is_masked_local_entry(0x835, 0x1_0000));
        assert!(!is_masked_local_entry(0x835, 0x200), "SMI by LINT0");
        assert!(!is_masked_local_entry(0x83a, 0x1_0000), "not one");
    }
}
