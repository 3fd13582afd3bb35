//! The regions of a program's memory.
use std::fmt;
use tern_abi::layout::{HEAP_BASE, INPUT_PAGE, OUTPUT_PAGE};

/// The purpose of a page of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Region {
    /// Code.
    Text,
    /// Constants.
    Constants,
    /// Variables.
    Data,
    /// Heap.
    Heap,
    /// The page that outputs are left in.
    Output,
    /// Stack.
    Stack,
}

impl Region {
    /// Returns the region of the page at `address`, which belongs to a program's page list,
    /// from the program's rights to it.
    #[must_use]
    pub fn of(address: u64, writable: bool, executable: bool) -> Self {
        if address >= HEAP_BASE.as_u64() && address < INPUT_PAGE.as_u64() {
            Self::Heap
        } else if address == OUTPUT_PAGE.as_u64() {
            Self::Output
        } else if address > OUTPUT_PAGE.as_u64() {
            Self::Stack
        } else if executable {
            Self::Text
        } else if writable {
            Self::Data
        } else {
            Self::Constants
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Text => "text",
            Self::Constants => "constants",
            Self::Data => "data",
            Self::Heap => "heap",
            Self::Output => "output",
            Self::Stack => "stack",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tern_abi::layout::PROGRAM_BASE;
    use tern_units::PAGE_SIZE;

    /// Where each region begins, and what a program may do with its pages: tern-abi's layout
    /// of a program.
    #[test]
    fn a_page_belongs_to_the_region_that_its_address_and_rights_say() {
        let (base, heap) = (PROGRAM_BASE.as_u64(), HEAP_BASE.as_u64());
        let (input, output) = (INPUT_PAGE.as_u64(), OUTPUT_PAGE.as_u64());
        let page = PAGE_SIZE as u64;
        for (address, writable, executable, region) in [
            (base, false, true, Region::Text),
            (base + page, false, false, Region::Constants),
            (base + 2 * page, true, false, Region::Data),
            (heap, true, false, Region::Heap),
            (input - page, true, false, Region::Heap),
            (output, true, false, Region::Output),
            (output + page, true, false, Region::Stack),
        ] {
            let found = Region::of(address, writable, executable);
            assert_eq!(found, region, "{address:#x}");
        }
    }
}
