//! A fault put into a machine from outside, through the emulator's debugger, unannounced to
//! anything inside.
use super::action::{Action, action};
use super::aim::Aim;
use super::forge::forge;
use super::hit::hit;
use super::hold::{Held, hold};
use super::program::ReplicaPages;
use super::stub::Stub;
use super::tool::{Look, Tool};
use crate::emulator::{Machine, Memory, bochs};
use crate::error::{Error, Result};
use crate::record;
use tern_config::ThreadRef;
use tern_fault::target::Target;

/// A fault that was injected.
#[derive(Clone, Debug)]
pub struct Injected {
    /// What was hit.
    pub target: Target,
    /// The thread that was hit: a replica, or the one whose release was delayed.
    pub place: ThreadRef,
    /// What was changed, in words.
    pub what: String,
    /// The timestamp counter's value at the fault; where that is not known exactly, the newest
    /// one in any trace ring: the fault came within one scheduling event after it.
    pub tsc: u64,
    /// The hold of a core.
    pub held: Option<Held>,
    /// The epochs whose commands were forged.
    pub forged: Vec<u64>,
}

/// Puts a fault into a machine that runs in QEMU; `random` decides what the aim leaves
/// open. The machine's time stands still meanwhile, but for what the fault itself waits for.
///
/// # Errors
/// If there is nothing to hit where the fault is aimed.
pub fn inject(
    machine: &Machine,
    aim: &Aim<'_>,
    random: &mut fastrand::Rng,
    look: Look<'_>,
) -> Result<Injected> {
    let mut stub = Stub::attach(machine)?;
    let injected = put(&mut stub, aim, random, look)?;
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
    look: Look<'_>,
) -> Result<Injected> {
    put(machine, aim, random, look)
}

fn put(
    tool: &mut impl Tool,
    aim: &Aim<'_>,
    random: &mut fastrand::Rng,
    look: Look<'_>,
) -> Result<Injected> {
    let target = aim.target;
    let Some(action) = action(target) else {
        return Err(not_yet(target));
    };
    let mut forged = Vec::new();
    let (what, held) = match action {
        Action::Nothing => ("nothing".into(), None),
        Action::Hit(how) => {
            let (directory, system, set) = (aim.directory, aim.system, aim.set);
            let replica =
                ReplicaPages::find(tool.memory(), directory, system, set, aim.replica()?)?;
            let core = directory.entries[replica.sandbox].apic_id as u32;
            (hit(tool, core, &replica, how, random)?, None)
        }
        Action::Hold(time) => {
            let held = hold(tool, aim, time)?;
            (held.what.clone(), Some(held))
        }
        Action::Forge => {
            forged = forge(tool, aim, random, look)?;
            (
                format!("its voter, to forge {} commands", forged.len()),
                None,
            )
        }
    };
    let tsc = match &held {
        Some(held) => held.from,
        None => newest(tool.memory(), aim)?,
    };
    Ok(Injected {
        target,
        place: aim.place,
        what,
        tsc,
        held,
        forged,
    })
}

/// Says that a target is of the grammar alone.
#[must_use]
pub fn not_yet(target: Target) -> Error {
    Error::usage(format!(
        "nothing carries out the fault {target} yet (cargo xtask run --help says what is)"
    ))
}

/// Returns the newest timestamp in any trace ring.
fn newest(memory: &Memory, aim: &Aim<'_>) -> Result<u64> {
    let mut newest = 0;
    for (entry, sandbox) in aim.directory.entries.iter().zip(&aim.system.sandboxes) {
        let core = record::core(memory, entry, &sandbox.name)?;
        let last = core.events().filter_map(std::result::Result::ok).last();
        newest = newest.max(last.map_or(0, |(tsc, _)| tsc));
    }
    Ok(newest)
}
