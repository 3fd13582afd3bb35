//! The permission bitmaps: which ports and model-specific registers a guest reaches
//! without an exit. All are denied until allowed (Intel SDM vol. 3 §§25.6.4, 25.6.9).
use crate::permissions::{PortPermissions, RegisterBits, RegisterPermissions};

/// Bitmaps A and B. Accesses that wrap around past the last port always exit.
pub type IoPermissions = PortPermissions<{ 2 * 4096 }>;

/// One page.
pub type MsrPermissions = RegisterPermissions<4096, FourBitmaps>;

/// Four bitmaps of a kilobyte: reads of low and high registers, writes of low and high ones.
#[derive(Clone, Copy, Debug)]
pub struct FourBitmaps;

impl RegisterBits for FourBitmaps {
    const RANGES: &'static [u32] = &[0, 0xc000_0000];

    fn of(position: usize) -> [usize; 2] {
        [position, 8 * 2048 + position]
    }
}
