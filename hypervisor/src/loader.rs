//! Puts a guest into its memory: the ELF file that the description names, and the
//! start information of the PVH protocol.
use crate::guest::Start;
use core::fmt;
use elf::ElfBytes;
use elf::abi::{EM_X86_64, PT_LOAD, PT_NOTE};
use elf::endian::LittleEndian;
use elf::note::Note;
use tern_abi::boot::SandboxBoot;
use tern_abi::layout::IMAGE_BASE;
use tern_config::limits::COMMAND_LINE_MAX;
use tern_config::private::PRIVATE_MAX;
use tern_machine::pvh;

/// Guest-physical addresses of what the PVH protocol hands over. They lie below every
/// kernel, in memory that the guest may reuse once it has read them.
const START_INFO: u64 = 0x1000;
const MODULES: u64 = 0x1100;
const MEMORY_MAP: u64 = 0x1200;
const BOOT_WORDS: u64 = 0x1300;
const COMMAND_LINE: u64 = 0x2000;
const KEYS: u64 = 0x3000;
/// First address that a guest's file may occupy.
const LOAD_MINIMUM: u64 = 0x1_0000;

const _: () = assert!(KEYS + PRIVATE_MAX as u64 <= LOAD_MINIMUM);

/// Why a guest cannot be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// The file is not an ELF file for x86-64.
    NotElf,
    /// No note of type 18 (owner Xen) with an entry.
    NoEntry,
    /// A segment lies outside the sandbox's memory, by physical address.
    OutsideMemory {
        /// Where it begins.
        address: u64,
        /// Its size in memory.
        bytes: u64,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotElf => out.write_str("is not a 64-bit ELF file for x86-64"),
            Self::NoEntry => out.write_str("has no PVH entry: link a Xen note of type 18 into it"),
            Self::OutsideMemory { address, bytes } => write!(
                out,
                "has {bytes:#x} bytes at physical {address:#x}, outside the sandbox's memory \
                 from {LOAD_MINIMUM:#x}: link it lower or give the sandbox more memory"
            ),
        }
    }
}

/// Copies the segments of `file` into `memory`, the sandbox's memory, by physical
/// address, and returns where it begins.
///
/// # Errors
/// If the file cannot be a guest of this size.
pub fn load(file: &[u8], memory: &mut [u8]) -> Result<Start, LoadError> {
    let elf = ElfBytes::<LittleEndian>::minimal_parse(file).map_err(|_| LoadError::NotElf)?;
    if elf.ehdr.e_machine != EM_X86_64 {
        return Err(LoadError::NotElf);
    }
    let segments = elf.segments().ok_or(LoadError::NotElf)?;
    let mut entry = None;
    for segment in segments.iter() {
        if segment.p_type == PT_NOTE && entry.is_none() {
            let notes = elf
                .segment_data_as_notes(&segment)
                .map_err(|_| LoadError::NotElf)?;
            entry = notes.filter_map(pvh_entry).next();
        }
        if segment.p_type != PT_LOAD || segment.p_memsz == 0 {
            continue;
        }
        let outside = LoadError::OutsideMemory {
            address: segment.p_paddr,
            bytes: segment.p_memsz,
        };
        let data = elf.segment_data(&segment).map_err(|_| LoadError::NotElf)?;
        let end = segment
            .p_paddr
            .checked_add(segment.p_memsz)
            .ok_or(outside)?;
        if segment.p_paddr < LOAD_MINIMUM
            || end > memory.len() as u64
            || segment.p_filesz > segment.p_memsz
        {
            return Err(outside);
        }
        let start = segment.p_paddr as usize;
        // What the file does not give is zero: the sandbox's memory was zeroed.
        memory[start..start + data.len()].copy_from_slice(data);
    }
    let entry = entry.ok_or(LoadError::NoEntry)?;
    Ok(Start {
        entry,
        start_info: START_INFO,
    })
}

fn pvh_entry(note: Note<'_>) -> Option<u64> {
    let Note::Unknown(note) = note else {
        return None;
    };
    if note.n_type != u64::from(pvh::ENTRY_NOTE) || note.name_str().ok() != Some("Xen") {
        return None;
    }
    // The protocol's entry is a 32-bit address, stored in 4 or 8 bytes.
    let low: [u8; 4] = note.desc.get(..4)?.try_into().ok()?;
    Some(u64::from(u32::from_le_bytes(low)))
}

/// Writes the start information into `memory`, of at least 16 pages; `keys` are the words that
/// this sandbox alone is given, at most [`PRIVATE_MAX`] bytes.
pub fn hand_over(memory: &mut [u8], boot: &SandboxBoot, command_line: &str, keys: &[u8]) {
    let line = command_line.as_bytes();
    let line = &line[..line.len().min(COMMAND_LINE_MAX)];
    let words = boot.to_words();
    let info = [
        u64::from(pvh::MAGIC) | 1 << 32,
        3 << 32, // flags 0, three modules
        MODULES,
        COMMAND_LINE,
        0,
        MEMORY_MAP,
        1,
    ];
    let modules = [
        [IMAGE_BASE.as_u64(), boot.image_bytes, 0, 0],
        [BOOT_WORDS, 8 * words.len() as u64, 0, 0],
        [KEYS, keys.len() as u64, 0, 0],
    ];
    let map = [0, boot.memory_bytes, u64::from(pvh::MEMORY_USABLE)];
    put_words(memory, START_INFO, &info);
    put_words(memory, MODULES, modules.as_flattened());
    put_words(memory, MEMORY_MAP, &map);
    put_words(memory, BOOT_WORDS, &words);
    let at = COMMAND_LINE as usize;
    memory[at..at + line.len()].copy_from_slice(line);
    memory[at + line.len()] = 0;
    let at = KEYS as usize;
    memory[at..at + keys.len()].copy_from_slice(keys);
}

fn put_words(memory: &mut [u8], address: u64, words: &[u64]) {
    for (i, word) in words.iter().enumerate() {
        let at = address as usize + 8 * i;
        memory[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec;
    use tern_abi::boot::{ApicAccess, Vendor};

    #[test]
    fn the_start_information_is_what_the_pvh_parser_reads() {
        let boot = SandboxBoot {
            sandbox: 2,
            apic: ApicAccess::X2apic,
            vendor: Vendor::Amd,
            tsc_deadline: true,
            tsc_hertz: 3,
            apic_timer_hertz: 4,
            epoch_tsc: 5,
            memory_bytes: 0x4000,
            trace_bytes: 7,
            image_bytes: 8,
            heap_bytes: 9,
        };
        let mut memory = vec![0_u8; 0x1_0000];
        hand_over(&mut memory, &boot, "quiet mode", &[1, 2, 3]);
        let offset = memory.as_ptr() as u64;
        // SAFETY: all addresses are offsets into `memory`, which outlives the reading.
        let seen = unsafe { pvh::Start::read(START_INFO, offset) }.unwrap();
        assert_eq!(seen.command_line(), "quiet mode");
        let modules: std::vec::Vec<_> = seen.modules().collect();
        assert_eq!(
            (modules[0].address, modules[0].bytes),
            (IMAGE_BASE.as_u64(), 8)
        );
        assert_eq!((modules.len(), modules[2].bytes), (3, 3));
        let at = modules[2].address as usize;
        assert_eq!(memory[at..at + 4], [1, 2, 3, 0]);
        assert_eq!(modules[1].bytes, 8 * SandboxBoot::WORDS as u64);
        let at = modules[1].address as usize;
        let words = core::array::from_fn(|i| {
            u64::from_le_bytes(memory[at + 8 * i..at + 8 * i + 8].try_into().unwrap())
        });
        assert_eq!(SandboxBoot::from_words(&words), Some(boot));
        let map: std::vec::Vec<_> = seen.memory_map().collect();
        assert_eq!((map[0].address, map[0].bytes, map[0].kind), (0, 0x4000, 1));
    }

    #[test]
    fn what_is_not_an_elf_file_is_refused() {
        assert_eq!(load(b"#!/bin/sh", &mut [0; 16]), Err(LoadError::NotElf));
    }
}
