//! The permission bitmaps: which ports and model-specific registers a guest reaches
//! without an exit. All are denied until allowed (APM vol. 2 §§15.10.1 and 15.11).

use crate::permissions::{PortPermissions, RegisterPermissions, position};

/// Three pages, of which the bits past 64 Ki catch accesses that wrap around.
pub type IoPermissions = PortPermissions<{ 3 * 4096 }>;

/// Two bits a register, read and write, set where an access exits; two pages.
#[derive(Clone, Debug)]
#[repr(C, align(4096))]
pub struct MsrPermissions([u8; 2 * 4096]);

// SAFETY: an array of bytes.
unsafe impl RegisterPermissions for MsrPermissions {
    fn deny_all(&mut self) {
        self.0.fill(0xff);
    }

    fn allow(&mut self, register: u32, write: bool) {
        let Some(bit) = Self::bit(register) else {
            panic!("no permission bits for register {register:#x}");
        };
        let bits = if write { 3 } else { 1 };
        self.0[bit / 8] &= !(bits << (bit % 8));
    }
}

impl MsrPermissions {
    /// Whether a read, or a write if `write`, exits. Registers without bits always do.
    #[must_use]
    pub fn denies(&self, register: u32, write: bool) -> bool {
        Self::bit(register).is_none_or(|bit| {
            let bits = if write { 2 } else { 1 };
            self.0[bit / 8] & bits << (bit % 8) != 0
        })
    }

    fn bit(register: u32) -> Option<usize> {
        position(&[0, 0xc000_0000, 0xc001_0000], register).map(|at| at * 2)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn each_register_has_its_own_two_bits() {
        let mut registers = MsrPermissions([0; 2 * 4096]);
        registers.deny_all();
        registers.allow(0x10, false);
        registers.allow(0xc000_0081, true);
        registers.allow(0xc001_1fff, true);
        for register in (0..0x3000)
            .chain(0xc000_0000..0xc000_3000)
            .chain(0xc001_0000..0xc001_3000)
        {
            let writable = [0xc000_0081, 0xc001_1fff].contains(&register);
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
        assert!(registers.denies(0x4000_0000, false));
    }
}
