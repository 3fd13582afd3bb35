//! The permission bitmaps: which ports and model-specific registers a guest reaches
//! without an exit. All are denied until allowed (Intel SDM vol. 3 §§25.6.4, 25.6.9).

use crate::permissions::{PortPermissions, RegisterPermissions, position};

/// Bitmaps A and B. Accesses that wrap around past the last port always exit.
pub type IoPermissions = PortPermissions<{ 2 * 4096 }>;

/// Four bitmaps of a kilobyte: reads of low and high registers, writes of low and high
/// ones; a bit is set where an access exits.
#[derive(Clone, Debug)]
#[repr(C, align(4096))]
pub struct MsrPermissions([u8; 4096]);

// SAFETY: an array of bytes.
unsafe impl RegisterPermissions for MsrPermissions {
    fn deny_all(&mut self) {
        self.0.fill(0xff);
    }

    fn allow(&mut self, register: u32, write: bool) {
        let Some(bit) = Self::bit(register) else {
            panic!("no permission bits for register {register:#x}");
        };
        self.0[bit / 8] &= !(1 << (bit % 8));
        if write {
            self.0[Self::WRITES + bit / 8] &= !(1 << (bit % 8));
        }
    }
}

impl MsrPermissions {
    const WRITES: usize = 2048;

    /// Whether a read, or a write if `write`, exits. Registers without bits always do.
    #[must_use]
    pub fn denies(&self, register: u32, write: bool) -> bool {
        Self::bit(register).is_none_or(|bit| {
            let start = if write { Self::WRITES } else { 0 };
            self.0[start + bit / 8] & 1 << (bit % 8) != 0
        })
    }

    fn bit(register: u32) -> Option<usize> {
        position(&[0, 0xc000_0000], register)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn each_register_has_its_own_bits_for_reads_and_writes() {
        let mut registers = MsrPermissions([0; 4096]);
        registers.deny_all();
        registers.allow(0x10, false);
        registers.allow(0x838, true);
        registers.allow(0xc000_1fff, true);
        for register in (0..0x3000).chain(0xc000_0000..0xc000_3000) {
            let writable = [0x838, 0xc000_1fff].contains(&register);
            let readable = writable || register == 0x10;
            assert_eq!(
                registers.denies(register, false),
                !readable,
                "read of {register:#x}"
            );
            assert_eq!(
                registers.denies(register, true),
                !writable,
                "write of {register:#x}"
            );
        }
        assert!(registers.denies(0xc001_0000, false));
    }
}
