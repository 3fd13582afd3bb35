//! The machine's memory as the host sees it: QEMU keeps it in a file, Bochs in blocks
//! of its own memory. This process reads it while the machine runs, without stopping or
//! slowing it.
use crate::error::{Context, Error, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use tern_units::HostPhysical;

/// Physical memory below the hole for devices.
#[derive(Debug)]
pub struct Memory {
    file: File,
    pieces: Vec<Piece>,
}

/// A range of the machine's memory that lies in one piece in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its first address in the machine.
    pub address: HostPhysical,
    /// Its size.
    pub bytes: u64,
    /// Where the file has it.
    pub offset: u64,
}

impl Memory {
    /// The memory that the emulator keeps in the file at `path`.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).context(|| format!("opening {}", path.display()))?;
        let whole = Piece {
            address: HostPhysical::new(0),
            bytes: u64::MAX,
            offset: 0,
        };
        Ok(Self::new(file, vec![whole]))
    }

    /// The memory that lies in `pieces` of `file`.
    #[must_use]
    pub fn new(file: File, pieces: Vec<Piece>) -> Self {
        Self { file, pieces }
    }

    /// Reads `count` bytes from `address`.
    ///
    /// # Errors
    /// If the machine has no memory there.
    pub fn bytes(&self, address: HostPhysical, count: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        let mut done = 0;
        while done < count {
            let at = address.as_u64() + done as u64;
            let doing = || format!("reading {count} bytes of the machine's memory at {address}");
            let piece = self.pieces.iter().find_map(|piece| {
                let inside = at.checked_sub(piece.address.as_u64())?;
                let left = piece.bytes.checked_sub(inside).filter(|left| *left > 0)?;
                Some((piece.offset + inside, left))
            });
            let Some((offset, left)) = piece else {
                return Err(Error::failure(format!("{}: it has none there", doing())));
            };
            let end = count.min(done + usize::try_from(left).unwrap_or(usize::MAX - done));
            self.file
                .read_exact_at(&mut bytes[done..end], offset)
                .context(doing)?;
            done = end;
        }
        Ok(bytes)
    }

    /// Reads `N` words from `address`.
    ///
    /// # Errors
    /// If the machine has no memory there.
    pub fn words<const N: usize>(&self, address: HostPhysical) -> Result<[u64; N]> {
        let mut words = [0; N];
        words.copy_from_slice(&self.many_words(address, N)?);
        Ok(words)
    }

    /// Reads `count` words from `address`, front to back.
    ///
    /// # Errors
    /// If the machine has no memory there.
    pub fn many_words(&self, address: HostPhysical, count: usize) -> Result<Vec<u64>> {
        let bytes = self.bytes(address, count * 8)?;
        let word = |chunk: &[u8]| {
            let bytes = chunk.iter().rev();
            bytes.fold(0, |word, byte| word << 8 | u64::from(*byte))
        };
        Ok(bytes.chunks_exact(8).map(word).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_is_put_together_from_the_pieces_it_touches() {
        let path = std::env::temp_dir().join(format!("tern-pieces-{}", std::process::id()));
        std::fs::write(&path, b"..worldhello").unwrap();
        let piece = |address, bytes, offset| Piece {
            address: HostPhysical::new(address),
            bytes,
            offset,
        };
        let file = File::open(&path).unwrap();
        let memory = Memory::new(file, vec![piece(0x1005, 5, 2), piece(0x1000, 5, 7)]);
        std::fs::remove_file(&path).unwrap();
        let read = |address, count| memory.bytes(HostPhysical::new(address), count);
        assert_eq!(read(0x1000, 10).unwrap(), b"helloworld");
        assert_eq!(read(0x1007, 3).unwrap(), b"rld");
        assert!(read(0x1000, 11).is_err(), "past the last piece");
    }
}
