//! The symbols of a freestanding image: which function an address is in.
use crate::error::{Context, Error, Result};
use elf::ElfBytes;
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
