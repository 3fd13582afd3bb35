//! A guest's write of CR0, which AMD-V leaves to software where it changes more than TS and MP:
//! finding the instruction in the guest's memory, and what the register becomes.
//!
//! What is found may not be what was executed, if the guest changes its code or its tables
//! meanwhile. That is between the guest and itself: whatever comes of it has the bits that are the
//! hypervisor's as the hypervisor wants them.
//!
//! Sources: AMD APM vol. 2 §§3.1.1, 5.3, 5.4, 14.6, 15.9; vol. 3, MOV CRn.
use crate::guest::Refused;
use crate::kept::{EFER_LMA, EFER_LME};
use bit_field::BitField;

/// The longest instruction.
pub const INSTRUCTION_BYTES: usize = 15;

const PE: u64 = 1;
const ET: u64 = 1 << 4;
const NW: u64 = 1 << 29;
const CD: u64 = 1 << 30;
/// Paging.
pub const PG: u64 = 1 << 31;
/// PE, MP, EM, TS, ET, NE, WP, AM, NW, CD, PG.
const DEFINED: u64 = 0x3f | 1 << 16 | 1 << 18 | NW | CD | PG;
const CR4_PSE: u64 = 1 << 4;
const CR4_PAE: u64 = 1 << 5;
const CR4_LA57: u64 = 1 << 12;
const CR4_PCIDE: u64 = 1 << 17;

/// What of a guest's state decides on its addresses and on its writes of CR0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Mode {
    pub cr0: u64,
    pub cr3: u64,
    pub cr4: u64,
    pub efer: u64,
    /// Whether the code segment is one of 64-bit code (L).
    pub long_code: bool,
}

impl Mode {
    /// Whether the guest executes 64-bit code.
    #[must_use]
    pub const fn is_64_bit(&self) -> bool {
        self.efer & EFER_LMA != 0 && self.long_code
    }

    /// CR0 and EFER when the guest writes `value` to CR0: caches stay on.
    ///
    /// # Errors
    /// If the processor would raise a general-protection exception.
    pub fn with_cr0(&self, value: u64) -> Result<(u64, u64), Refused> {
        let value = if self.is_64_bit() {
            value
        } else {
            value & 0xffff_ffff
        };
        let reserved = value >> 32 != 0;
        let cache_bits = value & (NW | CD) == NW;
        let paging_alone = value & PG != 0 && value & PE == 0;
        if reserved || cache_bits || paging_alone {
            return Err(Refused);
        }

        let (paged, pages) = (self.cr0 & PG != 0, value & PG != 0);
        let mut efer = self.efer;
        if !paged && pages && efer & EFER_LME != 0 {
            if self.cr4 & CR4_PAE == 0 || self.long_code {
                return Err(Refused);
            }
            efer |= EFER_LMA;
        }
        if paged && !pages {
            if self.is_64_bit() || self.cr4 & CR4_PCIDE != 0 {
                return Err(Refused);
            }
            efer &= !EFER_LMA;
        }
        Ok((value & DEFINED & !(NW | CD) | ET, efer))
    }

    /// The guest-physical address of `linear`, by the guest's own tables; `read` gives the eight
    /// bytes at a guest-physical multiple of eight. `None` where that has none, or nothing is
    /// mapped.
    pub fn translate(&self, linear: u64, read: impl Fn(u64) -> Option<u64>) -> Option<u64> {
        const PRESENT: u64 = 1;
        const LARGE: u64 = 1 << 7;
        if self.cr0 & PG == 0 {
            return Some(linear & 0xffff_ffff);
        }
        // The lowest bit that each table's index begins at, from the top, and how many it has.
        let (shifts, bits): (&[usize], usize) = match self.efer & EFER_LMA != 0 {
            true if self.cr4 & CR4_LA57 != 0 => (&[48, 39, 30, 21, 12], 9),
            true => (&[39, 30, 21, 12], 9),
            false if self.cr4 & CR4_PAE != 0 => (&[30, 21, 12], 9),
            false => (&[22, 12], 10),
        };
        let entry_bytes = if bits == 9 { 8 } else { 4 };
        let linear = match self.efer & EFER_LMA {
            0 => linear & 0xffff_ffff,
            _ => linear,
        };
        let root_bits = if shifts[0] == 30 { 5..32 } else { 12..52 };
        let mut table = self.cr3.get_bits(root_bits.clone()) << root_bits.start;
        for &shift in shifts {
            let place = table + linear.get_bits(shift..shift + bits) * entry_bytes;
            let mut entry = read(place & !7)?;
            if entry_bytes == 4 {
                entry = entry >> (place % 8 * 8) & 0xffff_ffff;
            }
            if entry & PRESENT == 0 {
                return None;
            }
            let page = match bits {
                9 => entry.get_bits(12..52) << 12,
                _ => entry.get_bits(12..32) << 12,
            };
            let may_be_large = match (bits, shift) {
                (9, 21) => true,
                (9, 30) => shifts[0] > 30,
                (10, 22) => self.cr4 & CR4_PSE != 0,
                _ => false,
            };
            if shift == 12 || may_be_large && entry & LARGE != 0 {
                let offset = linear.get_bits(0..shift);
                // Large pages of four bytes an entry have address bits 39:32 in 20:13.
                let page = match shift {
                    22 => entry.get_bits(22..32) << 22 | entry.get_bits(13..21) << 32,
                    _ => page >> shift << shift,
                };
                return Some(page | offset);
            }
            table = page;
        }
        None
    }
}

/// The source and the bytes of the MOV to CR0 that `code` begins with; `None` if it is another
/// instruction. `is_64_bit` is whether it is 64-bit code.
#[must_use]
pub fn decode(code: &[u8], is_64_bit: bool) -> Option<(u8, u64)> {
    let is_prefix =
        |byte: &u8| matches!(byte, 0x26 | 0x2e | 0x36 | 0x3e | 0x64..=0x67 | 0xf2 | 0xf3);
    // Not LOCK, with which it is a MOV to CR8.
    let prefixes = code.iter().take_while(|byte| is_prefix(byte)).count();
    let rest = &code[prefixes..];
    let (rex, rest) = match rest.split_first()? {
        (byte @ 0x40..=0x4f, rest) if is_64_bit => (*byte, rest),
        _ => (0, rest),
    };
    let [0x0f, 0x22, operands, ..] = rest else {
        return None;
    };
    let register = operands.get_bits(3..6) + rex.get_bit(2) as u8 * 8;
    let source = operands.get_bits(0..3) + rex.get_bit(0) as u8 * 8;
    let bytes = code.len() - rest.len() + 3;
    (register == 0).then_some((source, bytes as u64))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::collections::BTreeMap;

    const LONG: Mode = Mode {
        cr0: PG | PE,
        cr3: 0x1000,
        cr4: CR4_PAE,
        efer: EFER_LME | EFER_LMA,
        long_code: true,
    };
    const PROTECTED: Mode = Mode {
        cr0: PE,
        cr3: 0x1000,
        cr4: 0,
        efer: 0,
        long_code: false,
    };

    #[test]
    fn a_move_to_cr0_is_found_by_its_bytes() {
        for (code, is_64_bit, found, what) in [
            (&[0x0f, 0x22, 0xc0][..], true, Some((0, 3)), "mov cr0, rax"),
            (&[0x0f, 0x22, 0xc4], true, Some((4, 3)), "rsp"),
            (&[0x41, 0x0f, 0x22, 0xc7, 0x90], true, Some((15, 4)), "r15"),
            (&[0x48, 0x0f, 0x22, 0xc3], true, Some((3, 4)), "rbx, wide"),
            (
                &[0x66, 0xf3, 0x0f, 0x22, 0xc1],
                false,
                Some((1, 5)),
                "prefixes",
            ),
            (&[0x0f, 0x22, 0x02], false, Some((2, 3)), "mod is ignored"),
            (
                &[0x41, 0x0f, 0x22, 0xc0],
                false,
                None,
                "no prefix but inc ecx",
            ),
            (&[0x44, 0x0f, 0x22, 0xc0], true, None, "cr8"),
            (&[0xf0, 0x0f, 0x22, 0xc0], false, None, "lock: cr8"),
            (&[0x0f, 0x22, 0xe0], true, None, "cr4"),
            (&[0x0f, 0x20, 0xc0], true, None, "a read"),
            (&[0x0f, 0x01, 0xf0], true, None, "lmsw"),
            (&[0x0f, 0x22], true, None, "cut off"),
            (&[0x66; 15], true, None, "prefixes alone"),
            (&[], true, None, "nothing"),
        ] {
            assert_eq!(decode(code, is_64_bit), found, "{what}");
        }
    }

    #[test]
    fn caches_stay_on_whatever_is_written() {
        let others = 1 << 18 | 1 << 16 | 1 << 5 | ET | PE;
        for bits in [0, CD, CD | NW] {
            let written = LONG.with_cr0(PG | others | bits);
            assert_eq!(written, Ok((PG | others, LONG.efer)));
        }
        // The processor itself refuses not-write-through alone.
        assert_eq!(LONG.with_cr0(PG | others | NW), Err(Refused));
    }

    #[test]
    fn paging_turns_long_mode_on_and_off() {
        let enabled = Mode {
            cr4: CR4_PAE,
            efer: EFER_LME,
            ..PROTECTED
        };
        let compatible = Mode {
            long_code: false,
            ..LONG
        };
        for (mode, value, result, what) in [
            (
                enabled,
                PG | PE | ET,
                Ok((PG | PE | ET, EFER_LME | EFER_LMA)),
                "on",
            ),
            (compatible, PE, Ok((PE | ET, EFER_LME)), "off"),
            (
                PROTECTED,
                PG | PE,
                Ok((PG | PE | ET, 0)),
                "without long mode",
            ),
            (PROTECTED, 0, Ok((ET, 0)), "to real mode"),
            (
                PROTECTED,
                0xff << 32 | PE,
                Ok((PE | ET, 0)),
                "half a register",
            ),
            (LONG, PE, Err(Refused), "off in 64-bit code"),
            (LONG, 1 << 32 | PG | PE, Err(Refused), "reserved bits"),
            (PROTECTED, PG, Err(Refused), "without protection"),
            (
                Mode { cr4: 0, ..enabled },
                PG | PE,
                Err(Refused),
                "without PAE",
            ),
            (
                Mode {
                    long_code: true,
                    ..enabled
                },
                PG | PE,
                Err(Refused),
                "with L",
            ),
            (
                Mode {
                    cr4: CR4_PAE | CR4_PCIDE,
                    ..compatible
                },
                PE,
                Err(Refused),
                "off with PCIDE",
            ),
        ] {
            assert_eq!(mode.with_cr0(value), result, "{what}");
        }
    }

    /// Memory with these words.
    fn memory(words: &[(u64, u64)]) -> impl Fn(u64) -> Option<u64> {
        let words: BTreeMap<u64, u64> = words.iter().copied().collect();
        move |address| {
            assert_eq!(address % 8, 0);
            (address < 0x10_0000).then(|| words.get(&address).copied().unwrap_or(0))
        }
    }

    #[test]
    fn a_linear_address_is_translated_by_the_guests_tables() {
        let at = |linear: u64, shift: u64| (linear >> shift & 511) * 8;
        let linear = 0xffff_ffff_8123_4567_u64;
        let four = [
            (0x1000 + at(linear, 39), 0x2003),
            (0x2000 + at(linear, 30), 0x3003),
            (0x3000 + at(linear, 21), 0x4003),
            (0x4000 + at(linear, 12), 0x8000_0000_0005_5003),
        ];
        assert_eq!(LONG.translate(linear, memory(&four)), Some(0x5_5567));
        assert_eq!(LONG.translate(linear + 0x1000, memory(&four)), None);
        // A table beyond the memory.
        let beyond = [(0x1000 + at(linear, 39), 0x20_0003)];
        assert_eq!(LONG.translate(linear, memory(&beyond)), None);

        let large = [four[0], four[1], (four[2].0, 0x60_0083)];
        assert_eq!(LONG.translate(linear, memory(&large)), Some(0x63_4567));
        let huge = [four[0], (four[1].0, 0x4000_0083)];
        assert_eq!(LONG.translate(linear, memory(&huge)), Some(0x4123_4567));

        let five = Mode {
            cr4: CR4_PAE | CR4_LA57,
            cr3: 0x6000,
            ..LONG
        };
        let top = (0x6000 + at(linear, 48), 0x1003);
        let five_levels = [top, four[0], four[1], four[2], four[3]];
        assert_eq!(five.translate(linear, memory(&five_levels)), Some(0x5_5567));
    }

    #[test]
    fn without_long_mode_there_are_other_tables_or_none() {
        assert_eq!(
            PROTECTED.translate(0x1_2345_6789, memory(&[])),
            Some(0x2345_6789)
        );
        // PAE: four pointers at a multiple of 32, then two tables.
        let pae = Mode {
            cr0: PG | PE,
            cr3: 0x1020,
            cr4: CR4_PAE,
            ..PROTECTED
        };
        let tables = [
            (0x1020 + 8 * 3, 0x2001),
            (0x2000 + 8, 0x3003),
            (0x3000 + 8 * 2, 0x7003),
            (0x2000 + 8 * 2, 0x20_0083),
        ];
        assert_eq!(pae.translate(0xc020_2abc, memory(&tables)), Some(0x7abc));
        assert_eq!(pae.translate(0xc05f_ffff, memory(&tables)), Some(0x3f_ffff));
        // Two tables of four bytes an entry, and a large page with PSE alone.
        let old = Mode {
            cr0: PG | PE,
            ..PROTECTED
        };
        let tables = [
            (0x1000 + 4 * 0x300, 0x2003 | 0x0060_0083 << 32),
            (0x2000 + 4 * 4, 0x8003 | 0x9003 << 32),
        ];
        assert_eq!(old.translate(0xc000_4123, memory(&tables)), Some(0x8123));
        assert_eq!(old.translate(0xc000_5123, memory(&tables)), Some(0x9123));
        let extended = Mode {
            cr4: CR4_PSE,
            ..old
        };
        let wide = [(0x1000 + 4 * 0x300, 0x2003 | (0x0040_0083 | 3 << 13) << 32)];
        assert_eq!(
            extended.translate(0xc052_3456, memory(&wide)),
            Some(0x3_0052_3456)
        );
    }
}
