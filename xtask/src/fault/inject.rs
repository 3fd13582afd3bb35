//! How a fault is put into a machine: from outside, through the emulator's debugger,
//! unannounced to anything inside.
use super::tool::{Stub, Tool};
use super::{Region, ReplicaPages, Target};
use crate::emulator::{Directory, Machine, Memory, Registers, UserPage, bochs};
use crate::error::{Error, Result};
use crate::record;
use tern_config::{ReplicaSet, System};
use tern_units::{HostPhysical, PAGE_SIZE};

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

/// Puts a fault into a machine that runs in QEMU; `random` decides what the aim leaves
/// open. The machine's time stands still meanwhile.
///
/// # Errors
/// If there is nothing to hit where the fault is aimed.
pub fn inject(machine: &Machine, aim: &Aim<'_>, random: &mut fastrand::Rng) -> Result<Injected> {
    let mut stub = Stub::attach(machine)?;
    let injected = put(&mut stub, aim, random)?;
    stub.detach()?;
    Ok(injected)
}

/// The same in Bochs, where the machine stands still. It does afterwards; for a register
/// it runs on meanwhile, to the replica's next job.
///
/// # Errors
/// As [`inject`].
pub fn inject_in_bochs(
    machine: &mut bochs::Machine,
    aim: &Aim<'_>,
    random: &mut fastrand::Rng,
) -> Result<Injected> {
    put(machine, aim, random)
}

fn put(tool: &mut impl Tool, aim: &Aim<'_>, random: &mut fastrand::Rng) -> Result<Injected> {
    let Aim {
        directory,
        system,
        set,
        replica,
        target,
    } = *aim;
    let replica_pages = ReplicaPages::find(tool.memory(), directory, system, set, replica)?;
    let sandbox = replica_pages.sandbox;
    let pages = &replica_pages.pages;
    let (what, changes) = match target {
        Target::None => ("nothing".into(), Vec::new()),
        Target::Register => {
            let core = directory
                .entries
                .get(sandbox)
                .map_or(0, |entry| entry.apic_id) as u32;
            let what = flip_register(tool, core, &replica_pages, random)?;
            (what, Vec::new())
        }
        Target::Silent | Target::Endless => patch(tool, target, pages)?,
        Target::Writable | Target::Region(_) | Target::Page(_) => {
            flip_bit(tool, target, pages, random)?
        }
    };
    let mut tsc = 0;
    for (entry, sandbox) in directory.entries.iter().zip(&system.sandboxes) {
        let core = record::core(tool.memory(), entry, &sandbox.name)?;
        let last = core.events().filter_map(std::result::Result::ok).last();
        tsc = tsc.max(last.map_or(0, |(tsc, _)| tsc));
    }
    Ok(Injected {
        replica,
        sandbox,
        what,
        tsc,
        changes,
    })
}

fn flip_bit(
    tool: &mut impl Tool,
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
    let before = tool.memory().bytes(frame, 1)?[0];
    let after = before ^ 1 << bit;
    tool.write(frame, &[after])?;
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
    tool: &mut impl Tool,
    target: Target,
    pages: &[UserPage],
) -> Result<(String, Vec<Change>)> {
    let (code, effect) = match target {
        Target::Endless => (ENDLESS, "an endless loop"),
        _ => (INVALID, "an invalid instruction"),
    };
    let mut changes = Vec::new();
    for (address, frame) in system_calls(tool.memory(), pages)? {
        for (offset, after) in (SYSTEM_CALL.len() as u64..).zip(code) {
            let frame = HostPhysical::new(frame.as_u64() + offset);
            let before = tool.memory().bytes(frame, 1)?[0];
            changes.push(Change {
                address: address + offset,
                frame,
                before,
                after,
            });
        }
    }
    for change in &changes {
        tool.write(change.frame, &[change.after])?;
    }
    let first = changes.first().map_or(0, |change| change.address);
    Ok((format!("{effect} at {first:#x} (text)"), changes))
}

/// Where a program's code makes system calls: its address and the machine's.
fn system_calls(memory: &Memory, pages: &[UserPage]) -> Result<Vec<(u64, HostPhysical)>> {
    let mut calls = Vec::new();
    for page in pages.iter().filter(|page| page.executable) {
        let bytes = memory.bytes(page.frame, PAGE_SIZE)?;
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

/// Waits until the replica is some instructions into a job, and flips a bit of one of its
/// registers then.
fn flip_register(
    tool: &mut impl Tool,
    core: u32,
    replica: &ReplicaPages,
    random: &mut fastrand::Rng,
) -> Result<String> {
    let (number, bit) = (random.usize(..Registers::NAMES.len()), random.u32(..64));
    let steps = random.u32(..JOB_STEPS);
    let calls = system_calls(tool.memory(), &replica.pages)?;
    let begins: Vec<u64> = calls.iter().map(|(address, _)| address + 2).collect();
    let registers = tool.run_into_job(core, replica.root, &begins, steps)?;
    let Some(registers) = registers else {
        return Err(Error::failure(
            "the replica was never seen to begin a job: no register was changed",
        ));
    };
    let before = registers.general[number];
    let after = before ^ 1 << bit;
    tool.set_register(core, number, after)?;
    let name = Registers::NAMES[number];
    Ok(format!(
        "bit {bit} of register {name}, {before:#x} to {after:#x}, some {steps} instructions into a job"
    ))
}
