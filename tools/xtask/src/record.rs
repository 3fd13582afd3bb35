//! The trace of a run, taken out of the machine's memory.
use crate::emulator::{Directory, Memory};
use crate::error::{Context, Error, Result};
use crate::workspace;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use tern_abi::directory::{DirectoryEntry, ExitReason};
use tern_config::System;
use tern_trace::{Core, Note, Origin, Promises, Trace};
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
    promises: Option<Promises>,
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
        origin: Origin::Machine,
        promises,
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

/// How many runs of one system keep their files apart at the same time.
const RUNS_AT_ONCE: usize = 64;

/// The files of one run that nobody has named, which no other run uses until it is over.
#[derive(Debug)]
pub struct RunFiles {
    /// The path that all of them begin with.
    stem: PathBuf,
    /// A lock of the operating system's, which goes with the process whatever ends it.
    _lock: File,
}

impl RunFiles {
    /// Takes the files of `name` in the folder of runs: those of `name-2` and so on where
    /// another run that is still under way has the first.
    ///
    /// # Errors
    /// If they cannot be made, or too many runs have theirs.
    pub fn take(name: &str) -> Result<Self> {
        Self::take_in(&workspace::target().join("run"), name)
    }

    fn take_in(folder: &Path, name: &str) -> Result<Self> {
        std::fs::create_dir_all(folder).context(|| format!("creating {}", folder.display()))?;
        for run in 1..=RUNS_AT_ONCE {
            let name = match run {
                1 => name.to_owned(),
                _ => format!("{name}-{run}"),
            };
            let lock = folder.join(format!("{name}.lock"));
            let doing = || format!("locking {}", lock.display());
            let file = File::create(&lock).context(doing)?;
            match file.try_lock() {
                Ok(()) => {
                    let (stem, _lock) = (folder.join(name), file);
                    return Ok(Self { stem, _lock });
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error).context(doing),
            }
        }
        Err(Error::failure(format!(
            "{RUNS_AT_ONCE} runs of {name} are under way: end some, or name a file with --trace"
        )))
    }

    /// Returns the run's file of this kind.
    #[must_use]
    pub fn file(&self, extension: &str) -> PathBuf {
        let mut file = self.stem.clone().into_os_string();
        file.push(".");
        file.push(extension);
        file.into()
    }
}

/// Makes sure, before the work for it is done, that a file can be written.
///
/// # Errors
/// If it cannot.
pub fn expect_writable(file: &Path) -> Result<()> {
    let doing = || format!("writing {}", file.display());
    let is_new = !file.exists();
    File::options()
        .append(true)
        .create(true)
        .open(file)
        .context(doing)?;
    if is_new {
        std::fs::remove_file(file).context(doing)?;
    }
    Ok(())
}

/// Writes a trace file.
///
/// # Errors
/// If it cannot be written.
pub fn save(trace: &Trace, file: &Path) -> Result<()> {
    let saved = trace.save(file);
    saved.context(|| format!("writing {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tern_trace::Ring;

    #[test]
    fn two_runs_at_once_have_files_of_their_own_and_the_next_has_the_first_ones_again() {
        let folder = std::env::temp_dir().join(format!("tern-runs-{}", std::process::id()));
        let take = || RunFiles::take_in(&folder, "pendulum").unwrap();

        let (first, second) = (take(), take());
        assert_eq!(first.file("trace"), folder.join("pendulum.trace"));
        assert_eq!(second.file("trace"), folder.join("pendulum-2.trace"));

        drop(first);
        assert_eq!(take().file("image"), folder.join("pendulum.image"));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_name_keeps_what_follows_its_dot() {
        let folder = std::env::temp_dir().join(format!("tern-dots-{}", std::process::id()));
        let files = RunFiles::take_in(&folder, "v1.2").unwrap();
        assert_eq!(files.file("trace"), folder.join("v1.2.trace"));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_file_is_found_to_be_writable_and_left_as_it_was() {
        let folder = std::env::temp_dir().join(format!("tern-record-{}", std::process::id()));
        let file = folder.join("run.trace");
        assert!(expect_writable(&file).is_err(), "no folder");
        std::fs::create_dir(&folder).unwrap();
        expect_writable(&file).unwrap();
        assert!(!file.exists());
        std::fs::write(&file, "old").unwrap();
        expect_writable(&file).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"old");
        let error = expect_writable(&file.join("below-a-file")).unwrap_err();
        assert!(error.to_string().contains("below-a-file"), "{error}");
        std::fs::remove_dir_all(&folder).unwrap();
    }

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
