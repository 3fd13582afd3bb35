//! What happens at each exit: served and back into the guest, or the sandbox stops.
use crate::apic_writes::{interrupt_to_self, is_masked_local_entry, is_timer_entry};
use crate::cpuid;
use crate::guest::{Event, Exit, Guest};
use crate::hypercalls::{self, Outcome};
use crate::sandbox::{Sandbox, reason, reason_of_call, violation};
use crate::speculation;
use crate::vendor::AnyGuest;
use tern_abi::directory::ExitReason;
use tern_machine::apic::{Register, has_tsc_deadline};

/// Runs a guest of either vendor as `sandbox` on this core, for good.
///
/// # Safety
/// The core has the vendor's extension enabled and its tables loaded.
pub unsafe fn launch(guest: AnyGuest, sandbox: Sandbox) -> ! {
    match guest {
        AnyGuest::Svm(mut guest) => {
            // SAFETY: as the caller vouches.
            unsafe { guest.bind() };
            run(guest, sandbox)
        }
        AnyGuest::Vmx(mut guest) => {
            // SAFETY: as the caller vouches.
            unsafe { guest.bind() };
            run(guest, sandbox)
        }
    }
}

/// Runs `guest` as `sandbox` until it stops, for good.
pub fn run<G: Guest>(mut guest: G, mut sandbox: Sandbox) -> ! {
    loop {
        match guest.run() {
            Exit::Hypercall => serve_hypercall(&mut guest, &mut sandbox),
            exit => {
                let why = reason(&exit, guest.registers().rcx as u32);
                sandbox.owner.record.count(why);
                serve(&mut guest, &mut sandbox, exit, why);
            }
        }
    }
}

#[inline(always)]
fn serve_hypercall<G: Guest>(guest: &mut G, sandbox: &mut Sandbox) {
    let call = speculation::hypercall(guest.registers().rax);
    let why = reason_of_call(call);
    sandbox.owner.record.count(why);
    if guest.ring() != 0 {
        return guest.inject(Event::INVALID_OPCODE);
    }
    match hypercalls::serve(sandbox, call, guest.registers()) {
        Outcome::Return(value) => {
            guest.registers().rax = value;
            guest.skip_instruction();
        }
        Outcome::Sealed(choice) => {
            guest.choose_memory(choice);
            guest.registers().rax = 0;
            guest.skip_instruction();
        }
        Outcome::Taken(value) => {
            let share = sandbox.owner.share;
            guest.choose_ports(share.is_some_and(|it| it.has_device()));
            guest.registers().rax = value;
            guest.skip_instruction();
        }
        Outcome::Stop(code) => sandbox.stop(
            violation(why, code, 0, guest.instruction_pointer()),
            format_args!("it asked to, with code {code}"),
        ),
    }
}

fn serve<G: Guest>(guest: &mut G, sandbox: &mut Sandbox, exit: Exit, why: ExitReason) {
    match exit {
        // Replicas must not see what differs between cores.
        Exit::Cpuid if guest.ring() != 0 => guest.inject(Event::GENERAL_PROTECTION),
        Exit::Cpuid => serve_cpuid(guest, sandbox),
        Exit::ReadMsr => read_msr(guest, sandbox, why),
        _ => serve_rare(guest, sandbox, exit, why),
    }
}

/// What no sandbox does again and again.
#[cold]
#[inline(never)]
fn serve_rare<G: Guest>(guest: &mut G, sandbox: &mut Sandbox, exit: Exit, why: ExitReason) {
    let at = guest.instruction_pointer();
    match exit {
        Exit::Hypercall | Exit::Cpuid | Exit::ReadMsr => {} // served above
        Exit::WriteMsr => write_msr_exit(guest, sandbox, why),
        Exit::Port {
            port,
            write,
            bytes,
            is_string: false,
        } if sandbox.owner.share.is_some_and(|it| it.covers(port, bytes)) => {
            let record = sandbox.owner.record;
            record.count_instead(why, ExitReason::DeviceAway);
            reach_nothing(guest, write, bytes);
        }
        Exit::Port { port, write, .. } => sandbox.stop(
            violation(why, u64::from(port), u64::from(write), at),
            format_args!("{} of port {port:#x}", if write { "write" } else { "read" }),
        ),
        Exit::Memory { address, error } => sandbox.stop(
            violation(why, address.as_u64(), error, at),
            format_args!("{} guest-physical {address}", kind_of_access(error)),
        ),
        Exit::Exception(event) => guest.inject(event),
        Exit::WriteCr0 => match guest.write_cr0() {
            Some(Ok(())) => {}
            Some(Err(_)) => guest.inject(Event::GENERAL_PROTECTION),
            None => sandbox.stop(
                violation(why, 0, 0, at),
                format_args!("CR0 written, and not by a MOV"),
            ),
        },
        // The bit reads as clear, and is reserved for the guest.
        Exit::WriteCr4 => guest.inject(Event::GENERAL_PROTECTION),
        Exit::Nmi => {
            guest.take_nmi();
            match attend(guest, sandbox) {
                true => (sandbox.owner.record).count_instead(why, ExitReason::Attend),
                false => sandbox.tell_nmi(),
            }
        }
        Exit::AtOnce => {
            attend(guest, sandbox);
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
        Exit::EntryRefused(error) => sandbox.stop(
            violation(why, error, 0, at),
            format_args!("the processor refuses to enter it, error {error}"),
        ),
        Exit::Other(code) => sandbox.stop(
            violation(why, code, 0, at),
            format_args!("unexpected exit with code {code:#x}"),
        ),
    }
}

/// Looks whose the shared device is, if another core has asked: returns whether one has.
fn attend<G: Guest>(guest: &mut G, sandbox: &Sandbox) -> bool {
    sandbox.owner.share.is_some_and(|share| {
        let was_asked = share.attend();
        if was_asked {
            guest.choose_ports(share.has_device());
        }
        was_asked
    })
}

/// Lets an access to a port pass where no device is: who reads, reads ones.
fn reach_nothing<G: Guest>(guest: &mut G, write: bool, bytes: u8) {
    if !write {
        let rax = &mut guest.registers().rax;
        *rax = match bytes {
            1 => *rax | 0xff,
            2 => *rax | 0xffff,
            _ => 0xffff_ffff, // as every write of 32 bits clears the upper half
        };
    }
    guest.skip_instruction();
}

fn serve_cpuid<G: Guest>(guest: &mut G, sandbox: &Sandbox) {
    let owns_apic = sandbox.owns_apic();
    let registers = guest.registers();
    let seen = cpuid::filtered(registers.rax as u32, registers.rcx as u32, owns_apic);
    registers.rax = u64::from(seen.eax);
    registers.rbx = u64::from(seen.ebx);
    registers.rcx = u64::from(seen.ecx);
    registers.rdx = u64::from(seen.edx);
    guest.skip_instruction();
}

/// What the error code of a page fault says was tried.
const fn kind_of_access(error: u64) -> &'static str {
    const WRITE: u64 = 1 << 1;
    const FETCH: u64 = 1 << 4;
    match error {
        _ if error & FETCH != 0 => "instruction fetch from",
        _ if error & WRITE != 0 => "write of",
        _ => "read of",
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
            unsafe { sandbox.owner.local.write(Register::SELF_INTERRUPT, vector) };
            return guest.skip_instruction();
        }
        if takes_local_entry(sandbox, register, value) {
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

/// Whether the sandbox may write `value` to the local entry `register`; writes it where it has
/// an effect.
#[cold]
#[inline(never)]
fn takes_local_entry(sandbox: &Sandbox, register: u32, value: u64) -> bool {
    if register == Register::LVT_TIMER.msr() && is_timer_entry(value, has_tsc_deadline()) {
        // SAFETY: the guest's own timer, with a value that the register takes.
        unsafe { sandbox.owner.local.write(Register::LVT_TIMER, value as u32) };
        return true;
    }
    // Nothing is written: masked, the others have no effect, and the processor may refuse the
    // value or have no such entry (Intel SDM vol. 3, "x2APIC register address space").
    is_masked_local_entry(register, value)
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
