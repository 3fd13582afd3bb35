//! The files that one machine has on the host, from its start to its end.
use super::leftovers;
use crate::error::{Context, Result};
use std::ffi::CString;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The files of one machine: sockets (whose paths must be short) and memory.
pub(super) struct Folder {
    /// Where its sockets are.
    pub(super) path: PathBuf,
    /// The file that its memory is in.
    pub(super) memory: PathBuf,
}

/// How the names of all begin.
const PREFIX: &str = "tern-";
/// A file system in memory, as most Linux systems have one.
const MEMORY_FILES: &str = "/dev/shm";

impl Folder {
    /// Makes the folder of a machine with `memory` MiB.
    pub(super) fn create(memory: u64) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let temporary = std::env::temp_dir();
        if number == 0 {
            leftovers::remove(&temporary, PREFIX);
            leftovers::remove(Path::new(MEMORY_FILES), PREFIX);
        }
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        let path = temporary.join(&name);
        std::fs::create_dir(&path).context(|| format!("creating {}", path.display()))?;
        // On a disk the file system would write the machine's memory out now and then.
        let memory = match free_bytes(MEMORY_FILES) {
            Some(free) if free >> 21 >= memory => Path::new(MEMORY_FILES).join(&name),
            _ => path.join("memory"),
        };
        Ok(Self { path, memory })
    }

    /// What the emulator said on its standard error, as the end of a sentence.
    pub(super) fn errors(&self) -> String {
        let said = std::fs::read_to_string(self.path.join("errors")).unwrap_or_default();
        match said.trim() {
            "" => String::new(),
            said => format!(": {}", said.replace('\n', "; ")),
        }
    }
}

/// Free bytes of the file system at `path`, if there is one.
fn free_bytes(path: &str) -> Option<u64> {
    let path = CString::new(path).ok()?;
    let mut statistics = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path is terminated by a zero, and the structure is writable.
    if unsafe { libc::statvfs(path.as_ptr(), statistics.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: the call has filled it in, for it returned zero.
    let statistics = unsafe { statistics.assume_init() };
    statistics.f_bavail.checked_mul(statistics.f_frsize)
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing more can be done about files that cannot be removed.
        let _ = std::fs::remove_file(&self.memory);
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
