//! The memory image that the ROM starts: start information and tables, the hypervisor's
//! segments at their addresses, and the boot module behind them; and the ROM itself with
//! the image's place and sum filled in.
use super::acpi;
use crate::error::{Error, Result};
use elf::ElfBytes;
use elf::abi::{PT_LOAD, PT_NOTE};
use elf::endian::LittleEndian;
use elf::segment::ProgramHeader;

/// Where the memory image starts: the PVH start information. The rest of the first
/// pages, up to [`TABLES_END`], is reserved for what it points to.
pub const IMAGE_START: u64 = 0x10_0000;
/// End of the memory that start information and tables take.
pub const TABLES_END: u64 = 0x10_3000;

/// Above are the devices of the 32-bit address space.
const MAX_MEMORY: u64 = 0xc000_0000;
const ACPI: u64 = 0x10_1000;
const COMMAND_LINE: u64 = 0x10_2000;
const MAX_COMMAND_LINE: usize = 0xfff;
const LOW_MEMORY_END: u64 = 0x9_f000;
const PAGE: u64 = 4096;

const ROM_ADDRESS: u64 = 0xffff_f000;
const ROM_MAGIC: &[u8; 8] = b"TERNROM1";
/// Bytes that the ROM adds up in one step.
const BLOCK: u64 = 32;

/// What a machine starts with.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The ROM's ELF file.
    pub rom: &'a [u8],
    /// The hypervisor's ELF file, with a PVH entry.
    pub hypervisor: &'a [u8],
    /// The boot module, if any.
    pub module: Option<&'a [u8]>,
    /// The hypervisor's command line.
    pub command_line: &'a str,
    /// Number of cores.
    pub cores: u8,
    /// Bytes of memory.
    pub memory: u64,
    /// A model-specific register that the ROM sets, and its value.
    pub register: Option<(u32, u64)>,
}

/// What the emulator loads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// Memory from [`IMAGE_START`] on.
    pub memory: Vec<u8>,
    /// The last page of the 32-bit address space.
    pub rom: Vec<u8>,
}

/// Lays the parts out.
///
/// # Errors
/// If an ELF file is not of the kind expected, or the memory does not hold all.
pub fn build(parts: &Parts) -> Result<Images> {
    let hypervisor = parse(parts.hypervisor, "the hypervisor")?;
    let entry = pvh_entry(&hypervisor)?;
    let mut memory = vec![0; (TABLES_END - IMAGE_START) as usize];
    let mut end = TABLES_END;
    for segment in segments(&hypervisor, PT_LOAD).filter(|segment| segment.p_memsz > 0) {
        if segment.p_paddr < TABLES_END {
            return Err(Error::input(format!(
                "a segment of the hypervisor lies at {:#x}, below {TABLES_END:#x}, where the loader's tables are",
                segment.p_paddr
            )));
        }
        let data = hypervisor
            .segment_data(&segment)
            .map_err(|error| Error::input(format!("the hypervisor's file: {error}")))?;
        place(&mut memory, segment.p_paddr, data);
        end = end.max(segment.p_paddr + segment.p_memsz);
    }
    let module = end.next_multiple_of(PAGE);
    if let Some(bytes) = parts.module {
        place(&mut memory, module, bytes);
    }
    memory.resize(memory.len().next_multiple_of(BLOCK as usize), 0);
    if parts.memory > MAX_MEMORY {
        return Err(Error::input(format!(
            "the machine has {} MiB of memory, and Bochs machines at most {}",
            parts.memory >> 20,
            MAX_MEMORY >> 20
        )));
    }
    if IMAGE_START + memory.len() as u64 > parts.memory {
        return Err(Error::input(format!(
            "hypervisor and boot module end at {} MiB, but the machine has {} MiB of memory",
            (IMAGE_START + memory.len() as u64) >> 20,
            parts.memory >> 20
        )));
    }
    place(&mut memory, IMAGE_START, &start_information(parts, module)?);
    place(&mut memory, ACPI, &acpi::tables(ACPI, parts.cores));
    place(&mut memory, COMMAND_LINE, parts.command_line.as_bytes());
    let rom = rom(parts, &memory, entry)?;
    Ok(Images { memory, rom })
}

fn place(memory: &mut Vec<u8>, address: u64, bytes: &[u8]) {
    let start = (address - IMAGE_START) as usize;
    let end = start + bytes.len();
    if memory.len() < end {
        memory.resize(end, 0);
    }
    memory[start..end].copy_from_slice(bytes);
}

/// `hvm_start_info` of version 1 with its module list and memory map (Xen public
/// headers, `arch-x86/hvm/start_info.h`).
fn start_information(parts: &Parts, module: u64) -> Result<Vec<u8>> {
    const MAGIC: u32 = 0x336e_c578;
    const MODULES: u64 = IMAGE_START + 0x40;
    const MEMORY_MAP: u64 = IMAGE_START + 0x80;
    const USABLE: u64 = 1;
    const RESERVED: u64 = 2;
    if parts.command_line.len() > MAX_COMMAND_LINE {
        return Err(Error::input("the command line is longer than 4095 bytes"));
    }
    let map = [
        [0, LOW_MEMORY_END, USABLE],
        [IMAGE_START, TABLES_END - IMAGE_START, RESERVED],
        [TABLES_END, parts.memory.saturating_sub(TABLES_END), USABLE],
    ];
    let modules = u64::from(parts.module.is_some());
    let words = [
        u64::from(MAGIC) | 1 << 32,
        modules << 32,
        MODULES,
        COMMAND_LINE,
        ACPI,
        MEMORY_MAP,
        map.len() as u64,
        0,
        module, // the one module
        parts.module.map_or(0, |bytes| bytes.len() as u64),
        0,
        0,
        0,
        0,
        0,
        0,
    ];
    Ok(words
        .iter()
        .chain(map.iter().flatten())
        .flat_map(|word| word.to_le_bytes())
        .collect())
}

/// The page of the ROM with its parameters filled in.
fn rom(parts: &Parts, memory: &[u8], entry: u32) -> Result<Vec<u8>> {
    let file = parse(parts.rom, "the ROM")?;
    let mut page = vec![0; PAGE as usize];
    for segment in segments(&file, PT_LOAD) {
        let data = file.segment_data(&segment);
        let offset = segment.p_paddr.checked_sub(ROM_ADDRESS);
        let (Ok(data), Some(offset)) = (data, offset) else {
            return Err(Error::input("the ROM's file is not one"));
        };
        let start = offset as usize;
        page.get_mut(start..start + data.len())
            .ok_or_else(|| Error::input("the ROM's file is larger than a page"))?
            .copy_from_slice(data);
    }
    if &page[..8] != ROM_MAGIC {
        return Err(Error::input("the ROM's file has no parameters to fill in"));
    }
    let (register, value) = parts.register.unwrap_or_default();
    let words = [
        IMAGE_START as u32,
        (memory.len() as u64 / BLOCK) as u32,
        sum(memory),
        IMAGE_START as u32,
        entry,
        parts.memory as u32,
        register,
        value as u32,
        (value >> 32) as u32,
    ];
    for (place, word) in page[8..].chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    Ok(page)
}

/// The sum of the 32-bit words, as the ROM computes it.
fn sum(memory: &[u8]) -> u32 {
    memory.chunks_exact(4).fold(0_u32, |sum, word| {
        sum.wrapping_add(u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
    })
}

fn parse<'a>(bytes: &'a [u8], what: &str) -> Result<ElfBytes<'a, LittleEndian>> {
    ElfBytes::minimal_parse(bytes)
        .ok()
        .filter(|file| file.segments().is_some())
        .ok_or_else(|| Error::input(format!("{what} is not a 64-bit ELF image")))
}

fn segments<'a>(
    file: &ElfBytes<'a, LittleEndian>,
    kind: u32,
) -> impl Iterator<Item = ProgramHeader> + use<'a> {
    let all = file.segments().into_iter().flat_map(|table| table.iter());
    all.filter(move |segment| segment.p_type == kind)
}

/// The address in the note of owner "Xen" and type 18.
fn pvh_entry(file: &ElfBytes<LittleEndian>) -> Result<u32> {
    const ENTRY_NOTE: [u8; 4] = 18_u32.to_le_bytes();
    segments(file, PT_NOTE)
        .filter_map(|segment| file.segment_data(&segment).ok())
        .find_map(|note| {
            let found = note.get(8..12)? == ENTRY_NOTE && note.get(12..16)? == b"Xen\0";
            let address = note.get(16..20)?;
            found.then(|| u32::from_le_bytes([address[0], address[1], address[2], address[3]]))
        })
        .ok_or_else(|| Error::input("the hypervisor's file has no PVH entry"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF64 file with one loadable segment and, if asked for, a PVH note.
    fn elf(address: u64, data: &[u8], memory: u64, entry: Option<u32>) -> Vec<u8> {
        let note: Vec<u8> = entry.map_or(Vec::new(), |entry| {
            let words = [4, 4, 18, u32::from_le_bytes(*b"Xen\0"), entry];
            words.iter().flat_map(|word| word.to_le_bytes()).collect()
        });
        let (headers, first) = (2_u16, 64 + 2 * 56_u64);
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        file.extend([2, 0, 62, 0, 1, 0, 0, 0]);
        for word in [address, 64, 0] {
            file.extend(word.to_le_bytes());
        }
        file.extend([0, 0, 0, 0, 64, 0, 56, 0]);
        file.extend(headers.to_le_bytes());
        file.extend([0; 6]);
        let second = first + data.len() as u64;
        for (kind, at, address, size, memory) in [
            (PT_LOAD, first, address, data.len(), memory),
            (PT_NOTE, second, 0, note.len(), 0),
        ] {
            file.extend(kind.to_le_bytes());
            file.extend(5_u32.to_le_bytes());
            for word in [at, address, address, size as u64, memory, 1] {
                file.extend(word.to_le_bytes());
            }
        }
        [file, data.to_vec(), note].concat()
    }

    fn built(module: Option<&[u8]>, memory: u64) -> Result<Images> {
        let mut rom = ROM_MAGIC.to_vec();
        rom.resize(PAGE as usize, 0x90);
        build(&Parts {
            rom: &elf(ROM_ADDRESS, &rom, PAGE, None),
            hypervisor: &elf(0x20_0000, b"hypervisor", 0x5001, Some(0x20_0004)),
            module,
            command_line: "tsc_hertz=100000000",
            cores: 4,
            memory,
            register: None,
        })
    }

    fn words<const N: usize>(images: &Images, address: u64) -> [u64; N] {
        let start = (address - IMAGE_START) as usize;
        let bytes = images.memory[start..start + N * 8].chunks_exact(8);
        let words: Vec<_> = bytes
            .map(|word| u64::from_le_bytes(word.try_into().unwrap()))
            .collect();
        words.try_into().unwrap()
    }

    #[test]
    fn the_module_lies_behind_the_zeroed_memory_of_the_hypervisor() {
        let images = built(Some(b"module"), 64 << 20).unwrap();
        let [head, modules, list, line, acpi, map, regions, _] = words(&images, IMAGE_START);
        assert_eq!(head, 0x1_336e_c578);
        assert_eq!(modules >> 32, 1);
        assert_eq!(words(&images, list), [0x20_6000, 6, 0, 0]);
        assert_eq!(&images.memory[0x10_6000..0x10_6006], b"module");
        assert_eq!(&images.memory[0x10_0000..0x10_000a], b"hypervisor");
        let at = (line - IMAGE_START) as usize;
        assert_eq!(&images.memory[at..at + 20], b"tsc_hertz=100000000\0");
        assert_eq!(words(&images, acpi), [u64::from_le_bytes(*b"RSD PTR ")]);
        assert_eq!(regions, 3);
        let [.., start, size, usable] = words::<9>(&images, map);
        assert_eq!((start, start + size, usable), (TABLES_END, 64 << 20, 1));
    }

    #[test]
    fn the_rom_gets_place_size_sum_and_entry() {
        let images = built(None, 64 << 20).unwrap();
        let parameters: Vec<u32> = images.rom[8..32]
            .chunks_exact(4)
            .map(|word| u32::from_le_bytes(word.try_into().unwrap()))
            .collect();
        let blocks = images.memory.len() as u32 / 32;
        assert_eq!(images.memory.len() % 32, 0);
        let start = IMAGE_START as u32;
        assert_eq!(
            parameters,
            [
                start,
                blocks,
                sum(&images.memory),
                start,
                0x20_0004,
                64 << 20
            ]
        );
    }

    #[test]
    fn what_does_not_fit_or_has_no_entry_is_refused() {
        let large = vec![0; 4 << 20];
        for (result, reason) in [
            (built(Some(&large), 4 << 20), "MiB of memory"),
            (
                build(&Parts {
                    rom: &[],
                    hypervisor: &elf(0x20_0000, b"x", 1, None),
                    module: None,
                    command_line: "",
                    cores: 1,
                    memory: 64 << 20,
                    register: None,
                }),
                "no PVH entry",
            ),
            (
                build(&Parts {
                    rom: &[],
                    hypervisor: &elf(0x1000, b"x", 1, Some(0x1000)),
                    module: None,
                    command_line: "",
                    cores: 1,
                    memory: 64 << 20,
                    register: None,
                }),
                "below",
            ),
        ] {
            let error = result.unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
