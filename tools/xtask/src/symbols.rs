//! The symbols of a freestanding image: which function an address is in.
use crate::error::{Context, Error, Result};
use elf::ElfBytes;
use elf::abi::{PF_X, PT_LOAD};
use elf::endian::LittleEndian;
use std::path::Path;

/// Names by address.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    names: Vec<(u64, String)>,
}

impl Symbols {
    /// Those of the ELF file at `path`.
    ///
    /// # Errors
    /// If it cannot be read, or has none.
    pub fn read(path: &Path) -> Result<Self> {
        let doing = || format!("reading the symbols of {}", path.display());
        let bytes = std::fs::read(path).context(doing)?;
        let file = ElfBytes::<LittleEndian>::minimal_parse(&bytes).context(doing)?;
        let (table, strings) = file
            .symbol_table()
            .context(doing)?
            .ok_or_else(|| Error::failure(format!("{}: it has none", doing())))?;
        let mut names: Vec<_> = table
            .iter()
            .filter(|symbol| symbol.st_value != 0)
            .filter_map(|symbol| {
                let name = strings.get(symbol.st_name as usize).ok()?;
                Some((symbol.st_value, name.to_string()))
            })
            .filter(|(_, name)| !name.is_empty())
            .collect();
        names.sort();
        Ok(Self { names })
    }

    /// Returns the address of the symbol called `name`, as the linker has it.
    #[must_use]
    pub fn address(&self, name: &str) -> Option<u64> {
        let mut symbols = self.names.iter();
        let (address, _) = symbols.find(|(_, it)| it == name)?;
        Some(*address)
    }

    /// Returns the address of the function with this path, as the linker has it.
    #[must_use]
    pub fn function(&self, wanted: &str) -> Option<u64> {
        let mut symbols = self.names.iter();
        let (address, _) = symbols.find(|(_, it)| path(it).as_deref() == Some(wanted))?;
        Some(*address)
    }

    /// The last symbol at or before `address`, as the linker has it.
    #[must_use]
    pub fn around(&self, address: u64) -> Option<String> {
        let after = self.names.partition_point(|(begin, _)| *begin <= address);
        let (_, name) = self.names.get(after.checked_sub(1)?)?;
        Some(path(name).unwrap_or_else(|| name.clone()))
    }
}

/// Returns where the code of the ELF file at `path` calls the function at `entry` by its address.
///
/// # Errors
/// If it cannot be read.
pub fn calls(path: &Path, entry: u64) -> Result<Vec<u64>> {
    let doing = || format!("reading the code of {}", path.display());
    let bytes = std::fs::read(path).context(doing)?;
    let file = ElfBytes::<LittleEndian>::minimal_parse(&bytes).context(doing)?;
    let segments = file.segments().into_iter().flatten();
    let mut found = Vec::new();
    for segment in segments.filter(|it| it.p_type == PT_LOAD && it.p_flags & PF_X != 0) {
        let code = file.segment_data(&segment).context(doing)?;
        found.extend(calls_in(code, segment.p_vaddr, entry));
    }
    Ok(found)
}

/// Where `code`, which begins at `begin`, calls `entry`.
fn calls_in(code: &[u8], begin: u64, entry: u64) -> Vec<u64> {
    // CALL, and the distance from the instruction behind it.
    const CALL: u8 = 0xe8;
    let calls = (begin..).zip(code.windows(5)).filter(|(at, bytes)| {
        let [CALL, a, b, c, d] = **bytes else {
            return false;
        };
        let distance = i64::from(i32::from_le_bytes([a, b, c, d]));
        at.wrapping_add(5).wrapping_add_signed(distance) == entry
    });
    calls.map(|(at, _)| at).collect()
}

/// The path that rustc's first mangling scheme made a symbol of: `_ZN`, each part after its
/// length, a hash, `E`.
fn path(symbol: &str) -> Option<String> {
    let mut rest = symbol.strip_prefix("_ZN")?;
    let mut parts = Vec::new();
    while !rest.starts_with('E') {
        let digits = rest.find(|it: char| !it.is_ascii_digit())?;
        let length: usize = rest[..digits].parse().ok()?;
        parts.push(rest.get(digits..digits + length)?);
        rest = &rest[digits + length..];
    }
    parts.pop();
    Some(parts.join("::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_the_symbol_before_it() {
        let names = [(0x10, "first"), (0x20, "second")];
        let symbols = Symbols {
            names: names.map(|(at, name)| (at, name.to_string())).to_vec(),
        };
        assert_eq!(symbols.around(0x1f).as_deref(), Some("first"));
        assert_eq!(symbols.around(0x20).as_deref(), Some("second"));
        assert_eq!(symbols.around(0xf), None);
        assert_eq!(symbols.address("second"), Some(0x20));
        assert_eq!(symbols.address("third"), None);
    }

    #[test]
    fn a_call_is_found_by_the_distance_to_its_function() {
        // nop; call 0x1000 (from 0x1001); call 0x1006 (from 0x1006).
        let code = [
            0x90, 0xe8, 0xfa, 0xff, 0xff, 0xff, 0xe8, 0xfb, 0xff, 0xff, 0xff,
        ];
        assert_eq!(calls_in(&code, 0x1000, 0x1000), [0x1001]);
        assert_eq!(calls_in(&code, 0x1000, 0x1006), [0x1006]);
        assert_eq!(calls_in(&code, 0x1000, 0x1001), [0; 0]);
    }

    #[test]
    fn a_mangled_name_is_a_path() {
        let symbol = "_ZN11tern_kernel6bodies9run_plant17ha6d70f02f89c0a35E";
        assert_eq!(
            path(symbol).as_deref(),
            Some("tern_kernel::bodies::run_plant")
        );
        let symbols = Symbols {
            names: vec![(0x30, symbol.to_string())],
        };
        let function = |path| symbols.function(path);
        assert_eq!(function("tern_kernel::bodies::run_plant"), Some(0x30));
        assert_eq!(function("tern_kernel::bodies::run"), None);
        for other in ["timer_entry", "_ZN9", "_ZN3ab"] {
            assert_eq!(path(other), None, "{other}");
        }
    }
}
