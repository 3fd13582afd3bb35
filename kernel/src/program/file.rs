//! A program's ELF file: what of it is mapped where, checked before anything is mapped.
use crate::memory::paging::Access;
use alloc::vec::Vec;
use core::fmt;
use elf::ElfBytes;
use elf::abi::{EM_X86_64, ET_EXEC, PF_W, PF_X, PT_LOAD};
use elf::endian::LittleEndian;
use tern_abi::layout::{HEAP_BASE, PROGRAM_BASE};
use tern_config::heap::MOST_SEGMENTS;
use tern_units::{PAGE_SIZE, UserVirtual};

const PAGE: u64 = PAGE_SIZE as u64;

/// Why a program cannot be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// Not an ELF executable for x86-64, or a damaged one.
    NotAProgram,
    /// It has this many segments.
    TooManySegments(usize),
    /// A segment outside the place for programs.
    SegmentOutside(u64),
    /// Two segments share a page, or are not in the order of their addresses.
    SegmentsOverlap(u64),
    /// A segment both writable and executable.
    WritableCode(u64),
    /// The entry point is not in an executable segment.
    Entry(u64),
    /// The heap does not fit its place.
    HeapTooLarge,
    /// The stack does not fit its place.
    StackTooLarge,
}

impl fmt::Display for LoadError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAProgram => write!(out, "it is no static ELF executable for x86-64"),
            Self::TooManySegments(count) => write!(
                out,
                "it has {count} segments, at most {MOST_SEGMENTS} are loaded: link it with \
                 tern-app's script"
            ),
            Self::SegmentOutside(at) => write!(
                out,
                "its segment at {at:#x} lies outside {PROGRAM_BASE} to {HEAP_BASE}: link it \
                 with tern-app's script"
            ),
            Self::SegmentsOverlap(at) => {
                write!(out, "its segment at {at:#x} shares a page with another")
            }
            Self::WritableCode(at) => {
                write!(
                    out,
                    "its segment at {at:#x} is both writable and executable"
                )
            }
            Self::Entry(at) => write!(out, "its entry point {at:#x} is not in its code"),
            Self::HeapTooLarge => write!(out, "its heap does not fit: lower `heap_pages`"),
            Self::StackTooLarge => write!(out, "its stack does not fit: lower `stack_pages`"),
        }
    }
}

/// A segment to be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// First page.
    pub address: UserVirtual,
    /// Number of pages.
    pub pages: u64,
    /// What the program may do with them.
    pub access: Access,
    contents: &'a [u8],
}

impl<'a> Segment<'a> {
    /// What page number `page` of the segment begins with; the rest of it is zero.
    #[must_use]
    pub fn page(&self, page: u64) -> &'a [u8] {
        let start = (page as usize * PAGE_SIZE).min(self.contents.len());
        let end = (start + PAGE_SIZE).min(self.contents.len());
        &self.contents[start..end]
    }
}

/// A checked program file.
#[derive(Clone, Debug)]
pub struct ProgramFile<'a> {
    segments: Vec<Segment<'a>>,
    entry: UserVirtual,
}

impl<'a> ProgramFile<'a> {
    /// Checks a file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(file: &'a [u8]) -> Result<Self, LoadError> {
        let elf =
            ElfBytes::<LittleEndian>::minimal_parse(file).map_err(|_| LoadError::NotAProgram)?;
        if elf.ehdr.e_machine != EM_X86_64 || elf.ehdr.e_type != ET_EXEC {
            return Err(LoadError::NotAProgram);
        }
        let headers = elf.segments().ok_or(LoadError::NotAProgram)?;
        if headers.len() > MOST_SEGMENTS {
            return Err(LoadError::TooManySegments(headers.len()));
        }
        let mut segments: Vec<Segment<'a>> = Vec::with_capacity(headers.len());
        let mut free = PROGRAM_BASE.as_u64();
        for header in headers.iter() {
            if header.p_type != PT_LOAD || header.p_memsz == 0 {
                continue;
            }
            let at = header.p_vaddr;
            let end = at
                .checked_add(header.p_memsz)
                .ok_or(LoadError::SegmentOutside(at))?;
            if at < PROGRAM_BASE.as_u64() || end > HEAP_BASE.as_u64() {
                return Err(LoadError::SegmentOutside(at));
            }
            if !at.is_multiple_of(PAGE) || at < free {
                return Err(LoadError::SegmentsOverlap(at));
            }
            let access = match (header.p_flags & PF_W != 0, header.p_flags & PF_X != 0) {
                (true, true) => return Err(LoadError::WritableCode(at)),
                (true, false) => Access::Write,
                (false, true) => Access::Execute,
                (false, false) => Access::Read,
            };
            let contents = elf
                .segment_data(&header)
                .map_err(|_| LoadError::NotAProgram)?;
            if contents.len() as u64 > header.p_memsz {
                return Err(LoadError::NotAProgram);
            }
            segments.push(Segment {
                address: UserVirtual::new(at),
                pages: header.p_memsz.div_ceil(PAGE),
                access,
                contents,
            });
            free = end.next_multiple_of(PAGE);
        }
        let entry = elf.ehdr.e_entry;
        let in_code = segments.iter().any(|segment| {
            let start = segment.address.as_u64();
            segment.access == Access::Execute
                && (start..start + segment.contents.len() as u64).contains(&entry)
        });
        if !in_code {
            return Err(LoadError::Entry(entry));
        }
        Ok(Self {
            segments,
            entry: UserVirtual::new(entry),
        })
    }

    /// The segments by address.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'a>> + use<'a> {
        // A copy of the list: callers change what holds it.
        self.segments.clone().into_iter()
    }

    /// Where it starts.
    #[must_use]
    pub fn entry(&self) -> UserVirtual {
        self.entry
    }
}
