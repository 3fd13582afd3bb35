//! The kernel's own ELF, moved to addresses that a process has.
//!
//! The kernel is linked into the topmost 2 GiB, where processes have nothing. Every absolute
//! address in it is moved by the same distance; all other bytes stay as they are.
use elf::ElfBytes;
use elf::endian::LittleEndian;
use iced_x86::{Decoder, DecoderOptions};
use std::ops::Range;
use xtask::build;

/// Where the kernel is linked to begin.
const LINKED: u64 = 0xffff_ffff_8020_0000;
/// Where it lies in the process, as far from a page and a bit below it as it is linked.
pub const BASE: u64 = 0x4020_0000;
const PAGE: u64 = 4096;

/// The kernel's memory after loading.
pub struct KernelImage {
    /// From [`BASE`] on.
    pub bytes: Vec<u8>,
    /// Code, then constants, then data, each from a page of its own.
    pub parts: [Range<u64>; 3],
    symbols: Vec<(String, Range<u64>)>,
}

impl KernelImage {
    /// Builds the kernel, and loads and moves it.
    pub fn load() -> Self {
        build::build(&[build::KERNEL.into()], true).unwrap_or_else(|error| panic!("{error}"));
        let path = build::output_directory().join(build::KERNEL);
        let file = std::fs::read(&path).unwrap_or_else(|error| panic!("{error}"));
        let elf = ElfBytes::<LittleEndian>::minimal_parse(&file).expect("an ELF");
        let segments = elf.segments().expect("program headers");
        let loaded: Vec<_> = segments
            .iter()
            .filter(|segment| segment.p_type == elf::abi::PT_LOAD)
            .collect();
        let [text, constants, data] = &loaded[..] else {
            panic!("{} segments of the kernel, not 3", loaded.len());
        };
        let range = |segment: &elf::segment::ProgramHeader| {
            let start = moved(segment.p_vaddr);
            start..(start + segment.p_memsz).next_multiple_of(PAGE)
        };
        let parts = [range(text), range(constants), range(data)];
        assert_eq!(parts[0].start, BASE);
        let mut bytes = vec![0; (parts[2].end - BASE) as usize];
        for segment in &loaded {
            let from = segment.p_offset as usize..(segment.p_offset + segment.p_filesz) as usize;
            let at = (moved(segment.p_vaddr) - BASE) as usize;
            bytes[at..at + from.len()].copy_from_slice(&file[from]);
        }

        let (table, names) = elf.symbol_table().expect("symbols").expect("symbols");
        let functions = table.iter().filter(|symbol| {
            symbol.st_symtype() == elf::abi::STT_FUNC && symbol.st_value >= LINKED
        });
        let symbols = functions.map(|symbol| {
            let name = names.get(symbol.st_name as usize).expect("a name");
            let start = moved(symbol.st_value);
            (name.to_string(), start..start + symbol.st_size)
        });
        let mut image = Self {
            bytes,
            parts,
            symbols: symbols.collect(),
        };
        image.move_addresses();
        image
    }

    /// Returns where the one function is whose name ends in `path`, its hash aside.
    pub fn function(&self, path: &str) -> Range<u64> {
        let found: Vec<_> = self
            .symbols
            .iter()
            .filter(|(name, _)| name.contains(path))
            .collect();
        let [(_, range)] = found[..] else {
            panic!("{} functions of the kernel are named {path}", found.len());
        };
        range.clone()
    }

    /// Returns `length` bytes at `address`.
    pub fn at(&self, address: u64, length: usize) -> &[u8] {
        let start = (address - BASE) as usize;
        &self.bytes[start..start + length]
    }

    /// Moves the absolute addresses: in instructions, displacements and immediates that name the
    /// kernel's memory; in constants and data, words that do.
    fn move_addresses(&mut self) {
        let end = self.parts[2].end;
        let target = |address: u64| (BASE..=end).contains(&moved(address)) && address >= LINKED;
        let mut fields = Vec::new();
        for (_, range) in &self.symbols {
            let code = self.at(range.start, (range.end - range.start) as usize);
            let mut decoder = Decoder::with_ip(64, code, range.start, DecoderOptions::NONE);
            while decoder.can_decode() {
                let instruction = decoder.decode();
                let at = decoder.get_constant_offsets(&instruction);
                let displacement = (at.displacement_offset(), at.displacement_size());
                let immediate = (at.immediate_offset(), at.immediate_size());
                let is_relative = instruction.is_ip_rel_memory_operand();
                for (offset, size) in [displacement, immediate] {
                    let field = instruction.ip() + offset as u64;
                    if size == 0 || (offset == displacement.0 && is_relative) {
                        continue;
                    }
                    let bytes = self.at(field, size);
                    let address = match *bytes {
                        [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])) as u64,
                        [a, b, c, d, e, f, g, h] => u64::from_le_bytes([a, b, c, d, e, f, g, h]),
                        _ => continue,
                    };
                    if target(address) {
                        fields.push((field, address, size));
                    }
                }
            }
        }
        for part in &self.parts[1..] {
            for word in part.clone().step_by(8) {
                let address = u64::from_le_bytes(self.at(word, 8).try_into().expect("8 bytes"));
                if target(address) {
                    fields.push((word, address, 8));
                }
            }
        }
        fields.sort_unstable();
        fields.dedup();
        for (field, address, size) in fields {
            let at = (field - BASE) as usize;
            let value = moved(address).to_le_bytes();
            self.bytes[at..at + size].copy_from_slice(&value[..size]);
        }
    }
}

const fn moved(address: u64) -> u64 {
    address.wrapping_sub(LINKED).wrapping_add(BASE)
}
