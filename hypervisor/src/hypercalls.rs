//! Hypercalls: see `tern_abi::hypercall`.
use crate::apic_writes::is_timer_entry;
use crate::doorbell::Doorbell;
use crate::guest::Registers;
use crate::sandbox::Sandbox;
use crate::sandbox::seal::{self, TIME_EPOCH};
use crate::shutdown;
use crate::speculation::clamp;
use core::sync::atomic::Ordering;
use tern_abi::directory::ExitReason;
use tern_abi::hypercall::{CONSOLE_WRITE_MAX, Hypercall, HypercallError};
use tern_abi::layout::DOORBELL_VECTOR;
use tern_machine::apic::{COMMAND_FIXED, COMMAND_NMI, Register};
use tern_machine::cpu::timestamp;

/// What a hypercall leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Back into the guest with this in RAX.
    Return(u64),
    /// Back into the guest with zero in RAX, by this choice of its nested tables.
    Sealed(usize),
    /// Back into the guest with this in RAX, and with the shared device if it has it.
    Taken(u64),
    /// The sandbox asked to be stopped, with this code.
    Stop(u64),
}

/// Serves `call`, with the arguments in `registers`.
#[inline(always)]
pub fn serve(
    sandbox: &mut Sandbox,
    call: Result<Hypercall, HypercallError>,
    registers: &Registers,
) -> Outcome {
    let (first, second) = (registers.rdi, registers.rsi);
    let result = match call {
        Ok(Hypercall::Null) => {
            #[cfg(feature = "slow-null-hypercall")]
            // SAFETY: does nothing, for three instructions.
            unsafe {
                core::arch::asm!("nop", "nop", "nop", options(nomem, nostack));
            }
            Ok(0)
        }
        Ok(Hypercall::ConsoleWrite) => console_write(sandbox, first, second),
        Ok(Hypercall::ApicRead) => apic_read(sandbox, first),
        Ok(Hypercall::ApicWrite) => apic_write(sandbox, first, second),
        Ok(Hypercall::Doorbell) => doorbell(sandbox, first),
        Ok(Hypercall::Stop) => return Outcome::Stop(first),
        Ok(Hypercall::ConsoleDrain) => Ok(console_drain(sandbox)),
        Ok(Hypercall::Seal) => match seal(sandbox, first, second) {
            Ok(choice) => return Outcome::Sealed(choice),
            Err(error) => Err(error),
        },
        Ok(Hypercall::Close) => close(sandbox, first, second).map(|()| 0),
        Ok(Hypercall::Take) => {
            let taken = take(sandbox, first, second);
            return Outcome::Taken(taken.map_or_else(in_register, |()| 0));
        }
        Ok(Hypercall::ShutDown) if sandbox.may_shut_down => {
            sandbox.line.finish();
            shutdown::end(sandbox.owner.local, first)
        }
        Ok(Hypercall::ShutDown) => Err(HypercallError::NotPermitted),
        Err(error) => Err(error),
    };
    Outcome::Return(result.unwrap_or_else(in_register))
}

/// An error as RAX has it.
const fn in_register(error: HypercallError) -> u64 {
    error as i64 as u64
}

// Out of line: its buffer would make every hypercall's stack frame a large one.
#[inline(never)]
fn console_write(sandbox: &mut Sandbox, address: u64, bytes: u64) -> Result<u64, HypercallError> {
    let inside = address
        .checked_add(bytes)
        .is_some_and(|end| end <= sandbox.memory_bytes);
    if bytes > CONSOLE_WRITE_MAX || !inside {
        return Err(HypercallError::BadArgument);
    }
    let mut copy = [0; CONSOLE_WRITE_MAX as usize];
    let copy = &mut copy[..clamp(bytes, CONSOLE_WRITE_MAX + 1) as usize];
    let last = sandbox.memory_bytes - copy.len() as u64;
    let source = (sandbox.memory + clamp(address, last + 1)) as *const u8;
    // SAFETY: the range is inside the sandbox's memory, which is mapped to itself for reading;
    // the guest does not run meanwhile, and no reference into its memory is kept.
    unsafe { source.copy_to_nonoverlapping(copy.as_mut_ptr(), copy.len()) };
    sandbox.line.write(copy);
    Ok(console_drain(sandbox))
}

#[inline(never)]
fn seal(sandbox: &Sandbox, channel: u64, number: u64) -> Result<usize, HypercallError> {
    seal::seal(&sandbox.seals, channel, number, since_time_epoch()?)
}

#[inline(never)]
fn close(sandbox: &Sandbox, mask: u64, number: u64) -> Result<(), HypercallError> {
    seal::close(&sandbox.closable, mask, number, since_time_epoch()?)
}

#[inline(never)]
fn take(sandbox: &Sandbox, device: u64, epoch: u64) -> Result<(), HypercallError> {
    let share = sandbox.owner.share.ok_or(HypercallError::NotPermitted)?;
    let local = sandbox.owner.local;
    share.take(device, epoch, |core| {
        // SAFETY: that core's guest exits, or its handler makes the next entry exit.
        unsafe { local.send(core, COMMAND_NMI) };
    })
}

/// Ticks since the time epoch: before it no number has begun.
fn since_time_epoch() -> Result<u64, HypercallError> {
    let ticks = timestamp().checked_sub(TIME_EPOCH.load(Ordering::Relaxed));
    ticks.ok_or(HypercallError::TooSoon)
}

/// Moves on what the serial line takes at once, and returns what is left of the sandbox's own.
#[inline(never)]
fn console_drain(sandbox: &Sandbox) -> u64 {
    let console = sandbox.owner.console;
    console.drain();
    console.left() as u64
}

/// The registers of a local APIC that a sandbox may name have lower numbers.
const REGISTERS: u64 = 0x40;

fn apic_read(sandbox: &Sandbox, register: u64) -> Result<u64, HypercallError> {
    if sandbox.owns_apic() {
        return Err(HypercallError::NotPermitted);
    }
    // Identification, priorities, interrupts in service and requested, errors, timer.
    if !matches!(register, 0x02 | 0x03 | 0x08 | 0x0a | 0x0f..=0x28 | 0x32 | 0x37..=0x39 | 0x3e) {
        return Err(HypercallError::BadArgument);
    }
    let register = Register(clamp(register, REGISTERS) as u16);
    // SAFETY: these registers exist, and reading them changes nothing.
    Ok(u64::from(unsafe { sandbox.owner.local.read(register) }))
}

fn apic_write(sandbox: &Sandbox, register: u64, value: u64) -> Result<u64, HypercallError> {
    if sandbox.owns_apic() {
        return Err(HypercallError::NotPermitted);
    }
    let Some(register) = u16::try_from(register).ok().map(Register) else {
        return Err(HypercallError::BadArgument);
    };
    match register {
        Register::TASK_PRIORITY
        | Register::END_OF_INTERRUPT
        | Register::SPURIOUS
        | Register::ERROR_STATUS
        | Register::TIMER_INITIAL
        | Register::TIMER_DIVIDE => {}
        _ => check_other_write(register, value as u32)?,
    }
    let register = Register(clamp(register.0.into(), REGISTERS) as u16);
    // SAFETY: these registers concern this core's guest alone, and take the value.
    unsafe { sandbox.owner.local.write(register, value as u32) };
    Ok(0)
}

/// Whether `value` may be written to a register that not any value may be written to. Out of
/// line: none is at each interrupt.
#[cold]
#[inline(never)]
fn check_other_write(register: Register, value: u32) -> Result<(), HypercallError> {
    match register {
        Register::LVT_TIMER if is_timer_entry(value.into(), false) => Ok(()),
        Register::INTERRUPT_COMMAND | Register::INTERRUPT_COMMAND_HIGH => {
            Err(HypercallError::NotPermitted)
        }
        _ => Err(HypercallError::BadArgument),
    }
}

/// Rings the doorbell of `channel`. It is the sender's core alone that this takes time of: no
/// lock is taken, and the interrupt controller is waited for by a bounded number of reads.
#[inline(never)]
fn doorbell(sandbox: &mut Sandbox, channel: u64) -> Result<u64, HypercallError> {
    let local = sandbox.owner.local;
    let send = |peer| {
        // SAFETY: a fixed interrupt at the vector that sandboxes keep for doorbells, along a
        // channel whose description grants one.
        unsafe { local.send(peer, COMMAND_FIXED | u32::from(DOORBELL_VECTOR)) };
    };
    let rung = Doorbell::ring(&mut sandbox.doorbells, channel, timestamp, send);
    if rung.is_ok() {
        sandbox
            .owner
            .record
            .count_instead(ExitReason::RefusedDoorbell, ExitReason::Doorbell);
    }
    rung.map(|()| 0)
}
