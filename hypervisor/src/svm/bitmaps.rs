//! The permission bitmaps: which ports and model-specific registers a guest reaches
//! without an exit. All are denied until allowed (APM vol. 2 §§15.10.1 and 15.11).
use crate::permissions::{PortPermissions, RegisterBits, RegisterPermissions};

/// Three pages, of which the bits past 64 Ki catch accesses that wrap around.
pub type IoPermissions = PortPermissions<{ 3 * 4096 }>;

/// Two pages.
pub type MsrPermissions = RegisterPermissions<{ 2 * 4096 }, BitPairs>;

/// The bits for reads and writes of a register stand side by side.
#[derive(Clone, Copy, Debug)]
pub struct BitPairs;

impl RegisterBits for BitPairs {
    const RANGES: &'static [u32] = &[0, 0xc000_0000, 0xc001_0000];

    fn of(position: usize) -> [usize; 2] {
        [2 * position, 2 * position + 1]
    }
}
