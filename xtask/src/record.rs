//! The trace of a run, taken out of the machine's memory.
use crate::emulator::{Directory, Memory};
use crate::error::{Context, Error, Result};
use tern_abi::directory::{DirectoryEntry, ExitReason};
use tern_config::System;
use tern_trace::{Core, Note, Trace};
use tern_units::{HostPhysical, TscFrequency};

/// The part of the sandbox with this directory entry, up to now.
///
/// # Errors
/// If the entry points outside the machine's memory.
pub fn core(memory: &Memory, entry: &DirectoryEntry, sandbox: &str) -> Result<Core> {
    let count = entry.trace_bytes as usize / 8;
    let words = memory.many_words(HostPhysical::new(entry.trace), count)?;
    let exits: [u64; ExitReason::ALL.len()] = memory.words(HostPhysical::new(entry.exit_counts))?;
    Ok(Core::from_words(sandbox, &words, &exits))
}

/// The trace of a machine that stands still.
///
/// # Errors
/// If the directory is wrong.
pub fn trace(
    memory: &Memory,
    directory: &Directory,
    system: &System,
    notes: Vec<Note>,
) -> Result<Trace> {
    let tsc = TscFrequency::from_hertz(directory.header.tsc_hertz)
        .ok_or_else(|| Error::failure("the directory names no rate of the timestamp counter"))?;
    let cores = system
        .sandboxes
        .iter()
        .zip(&directory.entries)
        .map(|(sandbox, entry)| core(memory, entry, &sandbox.name))
        .collect::<Result<_>>()?;
    Ok(Trace {
        tsc,
        epoch_tsc: directory.header.epoch_tsc,
        build: concat!("tern ", env!("CARGO_PKG_VERSION")).into(),
        system: postcard::to_allocvec(system).context(|| "encoding the description".into())?,
        exit_reasons: ExitReason::ALL
            .iter()
            .map(|reason| reason.name().to_string())
            .collect(),
        cores,
        notes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tern_trace::Ring;

    #[test]
    fn a_ring_has_room_for_all_the_records_that_its_description_pays_for() {
        for bits in 16..=30 {
            let system = System {
                trace_bytes: 1 << bits,
                ..System::default()
            };
            let words = system.trace_window() as usize / 8;
            assert_eq!(Ring::capacity_of(words), (1 << bits) / 16, "2^{bits} bytes");
        }
    }
}
