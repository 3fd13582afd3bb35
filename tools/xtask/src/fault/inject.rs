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
/// PAUSE, and a jump back to it: where a program waits for its end.
const ENDLESS: [u8; 4] = [0xf3, 0x90, 0xeb, 0xfc];
/// UD2, an invalid instruction: what compilers leave where nothing ever goes on.
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
    let core = directory
        .entries
        .get(sandbox)
        .map_or(0, |entry| entry.apic_id) as u32;
    let mut changes = Vec::new();
    let what = match target {
        Target::None => "nothing".into(),
        Target::Register => flip_register(tool, core, &replica_pages, random)?,
        Target::Silent => derail(tool, core, &replica_pages, &INVALID, random)?,
        Target::Endless => derail(tool, core, &replica_pages, &ENDLESS, random)?,
        Target::Writable | Target::Region(_) | Target::Page(_) => {
            let (what, change) = flip_bit(tool, target, pages, random)?;
            changes.push(change);
            what
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
) -> Result<(String, Change)> {
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
        Change {
            address,
            frame,
            before,
            after,
        },
    ))
}

/// Where a program's code has `bytes`: a program's addresses.
fn code_with(memory: &Memory, pages: &[UserPage], bytes: &[u8]) -> Result<Vec<u64>> {
    let mut found = Vec::new();
    for page in pages.iter().filter(|page| page.executable) {
        let code = memory.bytes(page.frame, PAGE_SIZE)?;
        let places = code.windows(bytes.len()).enumerate();
        let places = places.filter(|(_, window)| *window == bytes);
        found.extend(places.map(|(at, _)| page.address + at as u64));
    }
    Ok(found)
}

/// Waits until the replica is some instructions into a job.
fn run_into_job(
    tool: &mut impl Tool,
    core: u32,
    replica: &ReplicaPages,
    random: &mut fastrand::Rng,
) -> Result<(u32, Registers)> {
    let steps = random.u32(..JOB_STEPS);
    let mut begins = code_with(tool.memory(), &replica.pages, &SYSTEM_CALL)?;
    let length = SYSTEM_CALL.len() as u64;
    begins.iter_mut().for_each(|address| *address += length);
    match tool.run_into_job(core, replica.root, &begins, steps)? {
        Some(registers) => Ok((steps, registers)),
        None => Err(Error::failure(
            "the replica was never seen to begin a job: no register was changed",
        )),
    }
}

/// Makes a running replica go on at `code`, which is somewhere in its text.
fn derail(
    tool: &mut impl Tool,
    core: u32,
    replica: &ReplicaPages,
    code: &[u8],
    random: &mut fastrand::Rng,
) -> Result<String> {
    let places = code_with(tool.memory(), &replica.pages, code)?;
    let Some(to) = places.first() else {
        return Err(Error::input("the program's text has no such instruction"));
    };
    let (steps, _) = run_into_job(tool, core, replica, random)?;
    tool.jump(core, *to)?;
    let effect = match code == ENDLESS {
        true => "an endless loop",
        false => "an invalid instruction",
    };
    Ok(format!(
        "the instruction pointer, to {effect} at {to:#x}, some {steps} instructions into a job"
    ))
}

/// Flips a bit of a register of a running replica.
fn flip_register(
    tool: &mut impl Tool,
    core: u32,
    replica: &ReplicaPages,
    random: &mut fastrand::Rng,
) -> Result<String> {
    let (number, bit) = (random.usize(..Registers::NAMES.len()), random.u32(..64));
    let (steps, registers) = run_into_job(tool, core, replica, random)?;
    let before = registers.general[number];
    let after = before ^ 1 << bit;
    tool.set_register(core, number, after)?;
    let name = Registers::NAMES[number];
    Ok(format!(
        "bit {bit} of register {name}, {before:#x} to {after:#x}, some {steps} instructions into a job"
    ))
}
