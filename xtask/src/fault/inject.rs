//! How a fault is put into a machine: from outside, through the emulator's debugger
//! stub, unannounced to anything inside.
use super::{Region, ReplicaPages, Target};
use crate::emulator::{Debugger, Directory, Machine, Registers, UserPage};
use crate::error::{Error, Result};
use crate::record;
use tern_config::{ReplicaSet, System};
use tern_units::{HostPhysical, PAGE_SIZE};

/// Breakpoints that a register fault may wait for the right core.
const BREAKPOINTS: u32 = 100;
/// Instructions of a job, at most, before a register fault.
const JOB_STEPS: u32 = 400;
/// SYSCALL.
const SYSTEM_CALL: [u8; 2] = [0x0f, 0x05];
/// A jump to itself.
const ENDLESS: [u8; 2] = [0xeb, 0xfe];
/// UD2: an invalid instruction.
const INVALID: [u8; 2] = [0x0f, 0x0b];

/// A fault that was injected.
#[derive(Clone, Debug)]
pub struct Injected {
    /// The replica's number.
    pub replica: usize,
    /// Index of its sandbox.
    pub sandbox: usize,
    /// What was changed, in words.
    pub what: String,
    /// The newest timestamp in any trace ring at that moment: the fault came within one
    /// scheduling event after it.
    pub tsc: u64,
    /// The bytes that were changed, with what they were before; none for a register.
    pub changes: Vec<Change>,
}

/// One changed byte of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The program's address of it.
    pub address: u64,
    /// The machine's address of it.
    pub frame: HostPhysical,
    /// What it was.
    pub before: u8,
    /// What it became.
    pub after: u8,
}

/// Where a fault goes.
#[derive(Clone, Copy, Debug)]
pub struct Aim<'a> {
    /// The machine's directory.
    pub directory: &'a Directory,
    /// What runs on the machine.
    pub system: &'a System,
    /// The set that is hit.
    pub set: &'a ReplicaSet,
    /// The replica of it that is hit.
    pub replica: usize,
    /// What is hit.
    pub target: Target,
}

/// Puts a fault into a running machine; `random` decides what the aim leaves open.
/// The machine's time stands still meanwhile.
///
/// # Errors
/// If there is nothing to hit where the fault is aimed.
pub fn inject(machine: &Machine, aim: &Aim<'_>, random: &mut fastrand::Rng) -> Result<Injected> {
    let mut debugger = machine.debugger()?;
    let Aim {
        directory,
        system,
        set,
        replica,
        target,
    } = *aim;
    let replica_pages = ReplicaPages::find(&machine.memory, directory, system, set, replica)?;
    let sandbox = replica_pages.sandbox;
    let pages = &replica_pages.pages;
    let (what, changes) = match target {
        Target::None => ("nothing".into(), Vec::new()),
        Target::Register => {
            let core = directory
                .entries
                .get(sandbox)
                .map_or(0, |entry| entry.apic_id) as u32;
            let what = flip_register(machine, &mut debugger, core, &replica_pages, random)?;
            (what, Vec::new())
        }
        Target::Silent | Target::Endless => patch(machine, &mut debugger, target, pages)?,
        Target::Writable | Target::Region(_) | Target::Page(_) => {
            flip_bit(machine, &mut debugger, target, pages, random)?
        }
    };
    let mut tsc = 0;
    for (entry, sandbox) in directory.entries.iter().zip(&system.sandboxes) {
        let core = record::core(&machine.memory, entry, &sandbox.name)?;
        let last = core.events().filter_map(std::result::Result::ok).last();
        tsc = tsc.max(last.map_or(0, |(tsc, _)| tsc));
    }
    debugger.detach()?;
    Ok(Injected {
        replica,
        sandbox,
        what,
        tsc,
        changes,
    })
}

fn flip_bit(
    machine: &Machine,
    debugger: &mut Debugger,
    target: Target,
    pages: &[UserPage],
    random: &mut fastrand::Rng,
) -> Result<(String, Vec<Change>)> {
    let aimed = |(index, page): &(usize, &UserPage)| match target {
        Target::Writable => page.writable,
        Target::Region(region) => Region::of(page) == region,
        // Page 0 of the list is the saved registers, which no program can reach.
        Target::Page(number) => index + 1 == number,
        _ => false,
    };
    let candidates: Vec<_> = pages.iter().enumerate().filter(aimed).collect();
    if candidates.is_empty() {
        return Err(Error::input(format!(
            "no page fits the fault '{target}': the program has pages 1 to {}",
            pages.len()
        )));
    }
    let (index, page) = candidates[random.usize(..candidates.len())];
    let (offset, bit) = (random.u64(..PAGE_SIZE as u64), random.u32(..8));
    let frame = HostPhysical::new(page.frame.as_u64() + offset);
    let before = machine.memory.bytes(frame, 1)?[0];
    let after = before ^ 1 << bit;
    debugger.write(frame, &[after])?;
    let address = page.address + offset;
    let what = format!(
        "bit {bit} of the byte at {address:#x}, page {} ({}), {before:#04x} to {after:#04x}",
        index + 1,
        Region::of(page)
    );
    Ok((
        what,
        vec![Change {
            address,
            frame,
            before,
            after,
        }],
    ))
}

/// Changes the code that follows each system call: where a job begins.
fn patch(
    machine: &Machine,
    debugger: &mut Debugger,
    target: Target,
    pages: &[UserPage],
) -> Result<(String, Vec<Change>)> {
    let (code, effect) = match target {
        Target::Endless => (ENDLESS, "an endless loop"),
        _ => (INVALID, "an invalid instruction"),
    };
    let mut changes = Vec::new();
    for (address, frame) in system_calls(machine, pages)? {
        for (offset, after) in (SYSTEM_CALL.len() as u64..).zip(code) {
            let frame = HostPhysical::new(frame.as_u64() + offset);
            let before = machine.memory.bytes(frame, 1)?[0];
            changes.push(Change {
                address: address + offset,
                frame,
                before,
                after,
            });
        }
    }
    for change in &changes {
        debugger.write(change.frame, &[change.after])?;
    }
    let first = changes.first().map_or(0, |change| change.address);
    Ok((format!("{effect} at {first:#x} (text)"), changes))
}

/// Where a program's code makes system calls: its address and the machine's.
fn system_calls(machine: &Machine, pages: &[UserPage]) -> Result<Vec<(u64, HostPhysical)>> {
    let mut calls = Vec::new();
    for page in pages.iter().filter(|page| page.executable) {
        let bytes = machine.memory.bytes(page.frame, PAGE_SIZE)?;
        // What follows a call must be in the same page to be changed with it.
        for at in (0..PAGE_SIZE - 3).filter(|at| bytes[*at..at + 2] == SYSTEM_CALL) {
            let frame = HostPhysical::new(page.frame.as_u64() + at as u64);
            calls.push((page.address + at as u64, frame));
        }
    }
    if calls.is_empty() {
        return Err(Error::failure("the program makes no system call"));
    }
    Ok(calls)
}

/// Waits until the replica begins a job, lets it execute some instructions of it, and
/// flips a bit of one of its registers then.
fn flip_register(
    machine: &Machine,
    debugger: &mut Debugger,
    core: u32,
    replica: &ReplicaPages,
    random: &mut fastrand::Rng,
) -> Result<String> {
    const USER: u32 = 3;
    const FRAME: u64 = 0x000f_ffff_ffff_f000;
    let (number, bit) = (random.usize(..Registers::NAMES.len()), random.u32(..64));
    let steps = random.u32(..JOB_STEPS);
    let calls = system_calls(machine, &replica.pages)?;
    let begins: Vec<u64> = calls.iter().map(|(address, _)| address + 2).collect();
    let breakpoints = |debugger: &mut Debugger, set| {
        begins
            .iter()
            .try_for_each(|address| debugger.breakpoint(*address, set))
    };
    breakpoints(debugger, true)?;
    for _ in 0..BREAKPOINTS {
        let stopped = debugger.run_to_breakpoint()?;
        breakpoints(debugger, false)?;
        let registers = debugger.registers(stopped)?;
        if stopped == core && registers.root & FRAME == replica.root {
            for _ in 0..steps {
                debugger.step(core)?;
            }
            let registers = debugger.registers(core)?;
            if registers.code_segment & USER == USER {
                let before = registers.general[number];
                let after = before ^ 1 << bit;
                debugger.set_register(core, number, after)?;
                let name = Registers::NAMES[number];
                return Ok(format!(
                    "bit {bit} of register {name}, {before:#x} to {after:#x}, {steps} instructions into a job"
                ));
            }
        }
        // Some other core: past the breakpoint, and on.
        debugger.step(stopped)?;
        breakpoints(debugger, true)?;
    }
    breakpoints(debugger, false)?;
    Err(Error::failure(
        "the replica was never seen to begin a job: no register was changed",
    ))
}
