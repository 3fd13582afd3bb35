//! A core that is held: from the timer's interrupt that releases a job on, it executes
//! nothing of its sandbox's for a while. Its registers, its memory and its pending interrupts
//! stay as they are, as if system management mode had taken the core.
use super::aim::Aim;
use super::kernel::Kernel;
use super::tool::{Beat, Tool};
use crate::error::{Error, Result};
use tern_units::{Duration, Instant, TscFrequency};

/// The longest hold: a debugger waits for its end.
const LONGEST: Duration = Duration::from_millis(1_000);
/// A release may be noticed later than it is due by one part in this of the thread's period:
/// in QEMU the cores take turns.
const LATENESS: u64 = 16;

/// A hold that has come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The counter's value at its begin.
    pub from: u64,
    /// The counter's value at its end.
    pub until: u64,
    /// The number of the job whose release it delayed.
    pub job: u64,
    /// What was held, in words.
    pub what: String,
}

/// Holds the core of the thread that `aim` names for `time`, from the release of one of its
/// jobs on.
///
/// # Errors
/// If the thread has no releases, the time is too long, or the release is not seen.
pub(super) fn hold(tool: &mut impl Tool, aim: &Aim<'_>, time: Duration) -> Result<Held> {
    let (place, job) = (&aim.place, aim.epoch);
    let (directory, system) = (aim.directory, aim.system);
    let header = &directory.header;
    let sandbox = place.sandbox as usize;
    let counter = TscFrequency::from_hertz(header.tsc_hertz)
        .ok_or_else(|| Error::failure("the directory names no rate of the timestamp counter"))?;
    if time > LONGEST {
        return Err(Error::usage(format!(
            "late={time}: a core is held for {LONGEST} at most"
        )));
    }
    let thread = system.thread(place).filter(|thread| thread.period > 0);
    let thread = thread.ok_or_else(|| {
        let name = &system.sandboxes[sandbox].name;
        Error::input(format!("late@{name}: that thread has no releases"))
    })?;

    let first = Instant::from_nanos(thread.offset + job * thread.period);
    let beat = Beat {
        first: header.epoch_tsc + counter.to_ticks(first.saturating_since(Instant::EPOCH)),
        period: counter.to_ticks(Duration::from_nanos(thread.period)),
        width: counter.to_ticks(Duration::from_nanos(thread.period / LATENESS)),
    };
    let kernel = Kernel::find(tool.memory(), directory, system, sandbox)?;
    let core = directory.entries[sandbox].apic_id as u32;
    let Some(from) = tool.run_to_beat(core, &kernel, &beat)? else {
        let name = &system.sandboxes[sandbox].name;
        return Err(Error::failure(format!(
            "late@{name}: no release of {} was seen: no core was held",
            thread.name
        )));
    };
    let until = tool.spin(core, &kernel, from + counter.to_ticks(time))?;

    let held = counter.to_duration(until - from);
    let job = job + (from - beat.first) / beat.period;
    let name = &thread.name;
    Ok(Held {
        from,
        until,
        job,
        what: format!("its core, held for {held} from the release of {name}'s job {job} on"),
    })
}
