//! The machine's memory as the host sees it: QEMU keeps it in a file that this
//! process reads while the machine runs, without stopping or slowing it.
use crate::error::{Context, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use tern_units::HostPhysical;

/// Physical memory below the hole for devices, where a file offset is an address.
#[derive(Debug)]
pub struct Memory {
    file: File,
}

impl Memory {
    /// The memory that the emulator keeps in the file at `path`.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).context(|| format!("opening {}", path.display()))?;
        Ok(Self { file })
    }

    /// Reads `count` bytes from `address`.
    ///
    /// # Errors
    /// If the machine has no memory there.
    pub fn bytes(&self, address: HostPhysical, count: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.file
            .read_exact_at(&mut bytes, address.as_u64())
            .context(|| format!("reading {count} bytes of the machine's memory at {address}"))?;
        Ok(bytes)
    }

    /// Reads `N` words from `address`.
    ///
    /// # Errors
    /// If the machine has no memory there.
    pub fn words<const N: usize>(&self, address: HostPhysical) -> Result<[u64; N]> {
        let bytes = self.bytes(address, N * 8)?;
        let mut words = [0; N];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            let mut value = [0; 8];
            value.copy_from_slice(bytes);
            *word = u64::from_le_bytes(value);
        }
        Ok(words)
    }
}
