//! The system image: the one boot module, which carries the encoded description and
//! every file that it names.
//!
//! All numbers are little-endian 64-bit words.
//!
//! | offset | what |
//! | --- | --- |
//! | 0 | magic `TERNIMG1` |
//! | 8 | format version |
//! | 16 | length of the whole image in bytes |
//! | 24 | SHA-256 of everything from byte 56 to the end |
//! | 56 | number of files |
//! | 64 | offset of the encoded [`System`] |
//! | 72 | its length |
//! | 80 | one entry a file: name (48 bytes, padded with zeros), offset, length |
//!
//! The description is encoded by postcard. Files begin at multiples of 4 KiB, so that
//! their pages can be mapped where they lie.
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use sha2::{Digest, Sha256};
use tern_units::PAGE_SIZE;

use crate::heap::kernel_heap;
use crate::layout::LARGE_PAGE;
use crate::partition::{Files, NoFiles, has_own_kernel, memory_needed};
use crate::private::{self, PRIVATE_MAX};
use crate::program::{Shape, program_shape};
use crate::system::{Server, ServerKind, System};

/// Marks a system image; its first word.
pub const IMAGE_MAGIC: [u8; 8] = *b"TERNIMG1";
/// The format that this build writes and reads. It changes with the layout above and
/// with the types of [`crate::system`].
pub const IMAGE_VERSION: u64 = 7;
/// The longest name of a file, in bytes.
pub const NAME_MAX: usize = 48;

const LENGTH_AT: usize = 16;
const CHECKSUM_AT: usize = 24;
const CHECKED_FROM: usize = 56;
const SYSTEM_AT: usize = 64;
const TABLE_AT: usize = 80;
const ENTRY_BYTES: usize = NAME_MAX + 16;

/// Why an image cannot be booted, or not be built. Each prints as one line that says
/// what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageError {
    /// It does not begin with [`IMAGE_MAGIC`].
    NotAnImage,
    /// It was written in another format.
    WrongVersion {
        /// The version it says.
        found: u64,
    },
    /// Bytes at its end are missing.
    Truncated {
        /// The length its header says, or the least that a header needs.
        expected: u64,
        /// The length of what was handed over.
        found: u64,
    },
    /// Its contents are not those it was built with.
    ChecksumMismatch,
    /// Its file table points outside it, or repeats or garbles a name.
    BadTable,
    /// A sporadic server of this name has no room for replenishments.
    NoRoom(String),
    /// A sandbox has less memory than it takes with these files.
    TooLittleMemory {
        /// The sandbox.
        sandbox: String,
        /// Bytes that it has.
        memory: u64,
        /// Bytes that it takes.
        needed: u64,
    },
    /// Its system description cannot be decoded, or refers to what does not exist.
    BadSystem,
    /// What follows it for each sandbox alone is not there, or not as it was written.
    BadPrivate,
    /// A sandbox is given more private words than it has room for.
    TooManyKeys(String),
    /// The description names a file that is not there.
    FileMissing(String),
    /// A file's name is empty, longer than [`NAME_MAX`] bytes or contains a zero.
    BadName(String),
    /// Two files have this name.
    DuplicateFile(String),
}

impl fmt::Display for ImageError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        const REBUILD: &str = "rebuild it with `cargo xtask image`";
        match self {
            Self::NotAnImage => {
                write!(
                    out,
                    "the boot module is not a system image: boot one made by `cargo xtask image`"
                )
            }
            Self::WrongVersion { found } => write!(
                out,
                "system image of format {found}, this build reads format {IMAGE_VERSION}: {REBUILD}"
            ),
            Self::Truncated { expected, found } => write!(
                out,
                "system image truncated, {found} of {expected} bytes: copy it again or {REBUILD}"
            ),
            Self::ChecksumMismatch => {
                write!(
                    out,
                    "system image damaged, its checksum does not match: copy it again or {REBUILD}"
                )
            }
            Self::BadTable => write!(out, "system image has a bad file table: {REBUILD}"),
            Self::TooLittleMemory {
                sandbox,
                memory,
                needed,
            } => write!(
                out,
                "sandbox \"{sandbox}\" has {} MiB of memory, and takes {} KiB with its kernel and \
                 programs: give it `memory = \"{}MiB\"` or more",
                memory >> 20,
                needed.div_ceil(1 << 10),
                needed.next_multiple_of(LARGE_PAGE) >> 20
            ),
            Self::NoRoom(server) => write!(
                out,
                "server \"{server}\" has no room for replenishments: {REBUILD}, which gives it some"
            ),
            Self::BadSystem => write!(out, "system image has a bad system description: {REBUILD}"),
            Self::BadPrivate => write!(
                out,
                "the keys behind the system image are missing or damaged: {REBUILD}"
            ),
            Self::TooManyKeys(sandbox) => write!(
                out,
                "sandbox \"{sandbox}\" has more keys than fit {PRIVATE_MAX} bytes: give some of \
                 its sets another sandbox"
            ),
            Self::FileMissing(name) => {
                write!(
                    out,
                    "system image lacks the file \"{name}\": add it and {REBUILD}"
                )
            }
            Self::BadName(name) => write!(
                out,
                "file name \"{name}\" does not fit a system image: use 1 to {NAME_MAX} bytes without zeros"
            ),
            Self::DuplicateFile(name) => {
                write!(
                    out,
                    "file \"{name}\" given twice for a system image: give it once"
                )
            }
        }
    }
}

impl core::error::Error for ImageError {}

/// Puts an image together.
#[derive(Clone, Debug)]
pub struct ImageBuilder {
    system: System,
    files: Vec<(String, Vec<u8>)>,
    /// The words of each sandbox that no other sees.
    private: Vec<Vec<u64>>,
}

impl ImageBuilder {
    /// An image of `system`, still without files.
    #[must_use]
    pub fn new(system: &System) -> Self {
        Self {
            system: system.clone(),
            files: Vec::new(),
            private: vec![Vec::new(); system.sandboxes.len()],
        }
    }

    /// Adds a file.
    pub fn file(&mut self, name: &str, contents: &[u8]) -> &mut Self {
        self.files.push((name.to_string(), contents.to_vec()));
        self
    }

    /// Adds words that sandbox number `sandbox` alone is given. There is no sandbox of another
    /// number that could be.
    pub fn private(&mut self, sandbox: usize, words: &[u64]) -> &mut Self {
        if let Some(own) = self.private.get_mut(sandbox) {
            own.extend_from_slice(words);
        }
        self
    }

    /// The bytes of the boot module: the image, and behind it what each sandbox alone is given.
    ///
    /// # Errors
    /// When a name does not fit or comes twice, a file that the description names was
    /// not added, the description refers to what does not exist, a server has no
    /// room for replenishments, or a sandbox less memory than it takes.
    pub fn build(&self) -> Result<Vec<u8>, ImageError> {
        for (position, (name, _)) in self.files.iter().enumerate() {
            if name.is_empty() || name.len() > NAME_MAX || name.contains('\0') {
                return Err(ImageError::BadName(name.clone()));
            }
            if self.files[..position]
                .iter()
                .any(|(other, _)| other == name)
            {
                return Err(ImageError::DuplicateFile(name.clone()));
            }
        }
        let has = |name: &str| self.files.iter().any(|(other, _)| other == name);
        if let Some(name) = self.system.files().find(|name| !has(name)) {
            return Err(ImageError::FileMissing(name.to_string()));
        }
        if !self.system.references_hold() {
            return Err(ImageError::BadSystem);
        }
        let servers = self.system.sandboxes.iter().flat_map(|it| &it.servers);
        let lacks = |it: &&Server| it.kind == ServerKind::Sporadic && it.room == 0;
        if let Some(server) = servers.into_iter().find(lacks) {
            return Err(ImageError::NoRoom(server.name.clone()));
        }
        let sized = self.sized_system();
        let system = postcard::to_allocvec(&sized).map_err(|_| ImageError::BadSystem)?;

        let system_at = TABLE_AT + ENTRY_BYTES * self.files.len();
        let mut bytes = vec![0; system_at];
        bytes.extend_from_slice(&system);
        for (position, (name, contents)) in self.files.iter().enumerate() {
            bytes.resize(bytes.len().next_multiple_of(PAGE_SIZE), 0);
            let entry = TABLE_AT + ENTRY_BYTES * position;
            let offset = bytes.len() as u64;
            bytes[entry..entry + name.len()].copy_from_slice(name.as_bytes());
            put(&mut bytes, entry + NAME_MAX, offset);
            put(&mut bytes, entry + NAME_MAX + 8, contents.len() as u64);
            bytes.extend_from_slice(contents);
        }
        // Whole pages, so that the last file can be mapped too.
        bytes.resize(bytes.len().next_multiple_of(PAGE_SIZE), 0);

        let length = bytes.len() as u64;
        self.check_memory(&sized, length)?;
        bytes[..8].copy_from_slice(&IMAGE_MAGIC);
        put(&mut bytes, 8, IMAGE_VERSION);
        put(&mut bytes, LENGTH_AT, length);
        put(&mut bytes, CHECKED_FROM, self.files.len() as u64);
        put(&mut bytes, SYSTEM_AT, system_at as u64);
        put(&mut bytes, SYSTEM_AT + 8, system.len() as u64);
        let checksum = Sha256::digest(&bytes[CHECKED_FROM..]);
        bytes[CHECKSUM_AT..CHECKED_FROM].copy_from_slice(&checksum);
        for (own, sandbox) in self.private.iter().zip(&self.system.sandboxes) {
            if 8 * own.len() > PRIVATE_MAX {
                return Err(ImageError::TooManyKeys(sandbox.name.clone()));
            }
        }
        bytes.extend_from_slice(&private::part(&self.private));
        Ok(bytes)
    }
}

impl ImageBuilder {
    /// Whether each sandbox with the sandbox kernel has the memory that it takes.
    fn check_memory(&self, system: &System, image_bytes: u64) -> Result<(), ImageError> {
        let files = AtHand {
            files: &self.files,
            image_bytes,
        };
        for (index, sandbox) in system.sandboxes.iter().enumerate() {
            if !has_own_kernel(sandbox) {
                continue;
            }
            let needed = memory_needed(system, index, &files);
            let needed = needed.map_err(|_| ImageError::BadSystem)?;
            if needed > sandbox.memory_bytes {
                return Err(ImageError::TooLittleMemory {
                    sandbox: sandbox.name.clone(),
                    memory: sandbox.memory_bytes,
                    needed,
                });
            }
        }
        Ok(())
    }

    /// The system, with the channels of its sets grown where a program has more pages
    /// than was assumed before its file was at hand.
    fn sized_system(&self) -> System {
        let mut system = self.system.clone();
        for (index, set) in self.system.replica_sets.iter().enumerate() {
            let file = self.files.iter().find(|(name, _)| *name == set.program);
            let program = file.and_then(|(_, contents)| crate::program_pages(contents));
            let pages = program.map_or(0, |program| set.pages(program));
            if pages > set.assumed_pages() {
                system.size_channels(index, pages);
            }
        }
        system
    }
}

/// The files of an image that is being built.
struct AtHand<'a> {
    files: &'a [(String, Vec<u8>)],
    image_bytes: u64,
}

impl Files for AtHand<'_> {
    fn shape(&self, file: &str) -> Shape {
        let found = self.files.iter().find(|(name, _)| name == file);
        let shape = found.and_then(|(_, contents)| program_shape(contents));
        shape.unwrap_or_else(|| NoFiles.shape(file))
    }

    fn image_bytes(&self) -> u64 {
        self.image_bytes
    }
}

/// An image that has been checked, and where its parts are.
#[derive(Clone, Debug)]
pub struct Image<'a> {
    bytes: &'a [u8],
    system: System,
}

impl<'a> Image<'a> {
    /// Reads an image and checks it whole: format, length, checksum, file table, and
    /// that the description decodes, refers only to what exists and finds every file it
    /// names. Bytes past the image's end are ignored: loaders round modules up.
    ///
    /// # Errors
    /// The first thing found wrong.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ImageError> {
        let bytes = Self::bounded(bytes)?;
        if Sha256::digest(&bytes[CHECKED_FROM..])[..] != bytes[CHECKSUM_AT..CHECKED_FROM] {
            return Err(ImageError::ChecksumMismatch);
        }
        Self::checked(bytes)
    }

    /// As [`Image::parse`], but without the checksum: for a sandbox kernel, whose
    /// hypervisor has checked it and maps it read-only.
    ///
    /// # Errors
    /// The first thing found wrong.
    pub fn parse_verified(bytes: &'a [u8]) -> Result<Self, ImageError> {
        Self::checked(Self::bounded(bytes)?)
    }

    /// The image without what follows it, its magic, version and length checked.
    fn bounded(bytes: &'a [u8]) -> Result<&'a [u8], ImageError> {
        if bytes.len() < IMAGE_MAGIC.len() || bytes[..8] != IMAGE_MAGIC {
            return Err(ImageError::NotAnImage);
        }
        let found = bytes.len() as u64;
        let short = |expected| ImageError::Truncated { expected, found };
        if bytes.len() < TABLE_AT {
            return Err(short(TABLE_AT as u64));
        }
        if get(bytes, 8) != IMAGE_VERSION {
            return Err(ImageError::WrongVersion {
                found: get(bytes, 8),
            });
        }
        let length = get(bytes, LENGTH_AT);
        if length > found {
            return Err(short(length));
        }
        if length < TABLE_AT as u64 {
            return Err(ImageError::ChecksumMismatch);
        }
        Ok(&bytes[..length as usize])
    }

    fn checked(bytes: &'a [u8]) -> Result<Self, ImageError> {
        let count = get(bytes, CHECKED_FROM);
        let room = ((bytes.len() - TABLE_AT) / ENTRY_BYTES) as u64;
        if count > room {
            return Err(ImageError::BadTable);
        }
        let system_bytes = span(bytes, get(bytes, SYSTEM_AT), get(bytes, SYSTEM_AT + 8))
            .ok_or(ImageError::BadSystem)?;
        let system: System =
            postcard::from_bytes(system_bytes).map_err(|_| ImageError::BadSystem)?;
        if !system.references_hold() {
            return Err(ImageError::BadSystem);
        }
        let image = Self { bytes, system };
        for position in 0..image.file_count() {
            let (name, _) = image.entry(position).ok_or(ImageError::BadTable)?;
            if (0..position).any(|other| image.entry(other).is_some_and(|(o, _)| o == name)) {
                return Err(ImageError::BadTable);
            }
        }
        if let Some(name) = image.system.files().find(|name| image.file(name).is_none()) {
            return Err(ImageError::FileMissing(name.to_string()));
        }
        Ok(image)
    }

    fn file_count(&self) -> usize {
        get(self.bytes, CHECKED_FROM) as usize
    }

    /// Name and contents of the file at `position`, if its entry is sound.
    fn entry(&self, position: usize) -> Option<(&'a str, &'a [u8])> {
        let at = TABLE_AT + ENTRY_BYTES * position;
        let name = self.bytes.get(at..at + NAME_MAX)?;
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(NAME_MAX);
        let name = core::str::from_utf8(&name[..end])
            .ok()
            .filter(|name| !name.is_empty())?;
        let offset = get(self.bytes, at + NAME_MAX);
        let length = get(self.bytes, at + NAME_MAX + 8);
        if !offset.is_multiple_of(PAGE_SIZE as u64) {
            return None;
        }
        Some((name, span(self.bytes, offset, length)?))
    }

    /// The description.
    #[must_use]
    pub fn system(&self) -> &System {
        &self.system
    }

    /// The description, without a copy of it.
    #[must_use]
    pub fn into_system(self) -> System {
        self.system
    }

    /// Bytes of heap that the kernel of a sandbox needs at boot, in whole pages.
    #[must_use]
    pub fn kernel_heap_bytes(&self, sandbox: usize) -> u64 {
        let pages = |file: &str| self.file(file).and_then(crate::program_pages);
        kernel_heap(&self.system, sandbox, |file| pages(file).unwrap_or(0))
    }

    /// The contents of a file, starting at a multiple of 4 KiB from the image's start.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&'a [u8]> {
        self.files()
            .find(|(other, _)| *other == name)
            .map(|(_, contents)| contents)
    }

    /// Every file, by name and contents.
    pub fn files(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + '_ {
        (0..self.file_count()).filter_map(|position| self.entry(position))
    }

    /// Its length in bytes, a multiple of 4 KiB.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it is empty: never, since a checked image has a header.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

fn get(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

fn put(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

fn span(bytes: &[u8], offset: u64, length: u64) -> Option<&[u8]> {
    let end = offset.checked_add(length)?;
    bytes.get(usize::try_from(offset).ok()?..usize::try_from(end).ok()?)
}
