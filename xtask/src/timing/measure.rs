//! One boot of a measuring system in Bochs, and what its programs wrote down.
use crate::emulator::bochs::{Machine, Model, Options};
use crate::emulator::{Directory, user_pages};
use crate::error::{Error, Result};
use crate::{build, image, record, setup, workspace};
use std::time::Duration;
use tern_abi::layout::{HEAP_BASE, INPUT_PAGE};
use tern_config::System;
use tern_trace::{Event, Trace};
use tern_units::{HostPhysical, PAGE_SIZE};

/// How long a boot may take on a busy host.
const BOUND: Duration = Duration::from_secs(1200);

/// What a boot left.
#[derive(Debug)]
pub struct Measured {
    /// The description.
    pub system: System,
    /// The trace.
    pub trace: Trace,
    /// What was printed.
    pub console: Vec<String>,
    /// For each thread of the first sandbox, the pairs of timestamps that its program
    /// wrote down, in order; empty where it wrote none.
    pub stamps: Vec<Vec<Stamp>>,
}

/// Two readings of the timestamp counter, the second after what is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The one before.
    pub before: u64,
    /// The one after.
    pub after: u64,
}

/// Boots `systems/timing/NAME.toml` for `millis` after the time epoch, or until it
/// ends by itself.
///
/// # Errors
/// If it cannot be built or booted, or its trace has losses.
pub fn measure(name: &str, model: Model, millis: u64) -> Result<Measured> {
    let file = workspace::root().join(format!("systems/timing/{name}.toml"));
    let system = image::describe(&file)?;
    build::build_for(&system)?;
    build::build(&[build::ROM.into()], true)?;
    let module = image::assemble(&system)?;
    let options = Options {
        emulator: setup::ensure_bochs()?,
        bound: BOUND,
        ..Options::for_system(&system, module, model)
    };
    let mut machine = Machine::start(&options)?;
    let directory = loop {
        machine.run_for(5_000_000)?;
        let lines = machine.console.lines();
        if let Some(address) = lines.iter().find_map(|line| Directory::address(line)) {
            break Directory::read(&machine.memory, address)?;
        }
        machine.check()?;
    };
    let end = directory.header.epoch_tsc + directory.header.tsc_hertz / 1000 * millis;
    let ended = |lines: &[String]| {
        lines
            .iter()
            .any(|line| line.contains("shut down with status"))
    };
    while !ended(machine.console.lines()) {
        if machine.run_for(5_000_000)?.ticks >= end {
            break;
        }
        machine.check()?;
    }
    let console = machine.console.lines().to_vec();
    let trace = record::trace(&machine.memory, &directory, &system, Vec::new())?;
    if let Some(core) = trace
        .cores
        .iter()
        .find(|core| core.dropped + core.overwritten > 0)
    {
        return Err(Error::failure(format!(
            "{name}: the trace of {} is not complete: raise `trace`",
            core.sandbox
        )));
    }
    let stamps = stamps(&machine, &directory, &trace, &system)?;
    machine.quit()?;
    Ok(Measured {
        system,
        trace,
        console,
        stamps,
    })
}

fn stamps(
    machine: &Machine,
    directory: &Directory,
    trace: &Trace,
    system: &System,
) -> Result<Vec<Vec<Stamp>>> {
    let (Some(entry), Some(core)) = (directory.entries.first(), trace.cores.first()) else {
        return Ok(Vec::new());
    };
    let threads = system.sandboxes[0].threads().count();
    let mut stamps = vec![Vec::new(); threads];
    for (_, event) in core.events().filter_map(std::result::Result::ok) {
        let Event::Process { thread, root_frame } = event else {
            continue;
        };
        let base = HostPhysical::new(entry.memory);
        let pages = user_pages(&machine.memory, base, u64::from(root_frame) << 12)?;
        let mut heap: Vec<u64> = Vec::new();
        for page in pages {
            if (HEAP_BASE.as_u64()..INPUT_PAGE.as_u64()).contains(&page.address) {
                heap.extend(machine.memory.words::<{ PAGE_SIZE / 8 }>(page.frame)?);
            }
        }
        if let Some(place) = stamps.get_mut(usize::from(thread)) {
            *place = in_order(&heap);
        }
    }
    Ok(stamps)
}

/// The pairs in a program's heap, oldest first: see `systems/timing/src/stamps.rs`.
fn in_order(heap: &[u64]) -> Vec<Stamp> {
    let pairs: Vec<Stamp> = heap
        .chunks_exact(2)
        .skip(1)
        .map(|pair| Stamp {
            before: pair[0],
            after: pair[1],
        })
        .collect();
    let count = heap.first().map_or(0, |count| *count as usize);
    if count <= pairs.len() {
        return pairs[..count].to_vec();
    }
    let oldest = count % pairs.len();
    [&pairs[oldest..], &pairs[..oldest]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_in_order_although_the_oldest_were_overwritten() {
        let stamp = |number: u64| Stamp {
            before: number,
            after: number + 1,
        };
        let heap = |count: u64, pairs: [u64; 3]| {
            let words = pairs.iter().flat_map(|before| [*before, before + 1]);
            [count, 0].into_iter().chain(words).collect::<Vec<_>>()
        };
        assert_eq!(in_order(&heap(2, [10, 20, 0])), [10, 20].map(stamp));
        assert_eq!(in_order(&heap(3, [10, 20, 30])), [10, 20, 30].map(stamp));
        assert_eq!(in_order(&heap(4, [40, 20, 30])), [20, 30, 40].map(stamp));
        assert_eq!(in_order(&[]), []);
    }
}
