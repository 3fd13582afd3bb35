//! Changes of a replica: a bit of its memory or of a register, or the place that it runs at.
use super::action::{Hit, Pages};
use super::program::ReplicaPages;
use super::tool::Tool;
use crate::emulator::{Memory, Registers, UserPage};
use crate::error::{Error, Result};
use tern_fault::region::Region;
use tern_units::{HostPhysical, PAGE_SIZE};

/// Instructions of a job, at most, before a register fault.
const JOB_STEPS: u32 = 400;
/// SYSCALL.
const SYSTEM_CALL: [u8; 2] = [0x0f, 0x05];

/// Changes a replica that runs on `core`, and says what was changed.
///
/// # Errors
/// If there is nothing to change, or the replica is not seen to run.
pub(super) fn hit(
    tool: &mut impl Tool,
    core: u32,
    replica: &ReplicaPages,
    how: Hit,
    random: &mut fastrand::Rng,
) -> Result<String> {
    match how {
        Hit::Flip(pages) => flip_bit(tool, pages, &replica.pages, random),
        Hit::Register => flip_register(tool, core, replica, random),
        Hit::Jump { code, what } => jump(tool, core, replica, (code, what), random),
    }
}

/// Flips a bit in one of the pages of a replica that `aimed` leaves open.
fn flip_bit(
    tool: &mut impl Tool,
    aimed: Pages,
    pages: &[UserPage],
    random: &mut fastrand::Rng,
) -> Result<String> {
    let fits = |(index, page): &(usize, &UserPage)| match aimed {
        Pages::Writable => page.writable,
        Pages::Of(region) => region_of(page) == region,
        // Page 0 of the list is the saved registers, which no program can reach.
        Pages::Number(number) => index + 1 == number,
    };
    let candidates: Vec<_> = pages.iter().enumerate().filter(fits).collect();
    if candidates.is_empty() {
        return Err(Error::input(format!(
            "no page of the program fits: it has pages 1 to {}",
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
    Ok(format!(
        "bit {bit} of the byte at {address:#x}, page {} ({}), {before:#04x} to {after:#04x}",
        index + 1,
        region_of(page)
    ))
}

fn region_of(page: &UserPage) -> Region {
    Region::of(page.address, page.writable, page.executable)
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

/// Makes a running replica go on at `code`, `what` it is, somewhere in its text.
fn jump(
    tool: &mut impl Tool,
    core: u32,
    replica: &ReplicaPages,
    (code, what): (&[u8], &str),
    random: &mut fastrand::Rng,
) -> Result<String> {
    let places = code_with(tool.memory(), &replica.pages, code)?;
    let Some(to) = places.first() else {
        return Err(Error::input(format!(
            "the program's text has not got {what}"
        )));
    };
    let (steps, _) = run_into_job(tool, core, replica, random)?;
    tool.jump(core, *to)?;
    Ok(format!(
        "the instruction pointer, to {what} at {to:#x}, some {steps} instructions into a job"
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
