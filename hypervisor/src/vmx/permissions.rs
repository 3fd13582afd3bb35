//! The permission bitmaps: which ports and model-specific registers a guest reaches
//! without an exit. All are denied until allowed (Intel SDM vol. 3 §§25.6.4, 25.6.9).

/// Bitmaps A and B, one bit a port, set where an access exits. Accesses that wrap
/// around past the last port always exit.
#[derive(Clone, Debug)]
#[repr(C, align(4096))]
pub struct IoPermissions([u8; 2 * 4096]);

impl IoPermissions {
    /// Denies all ports.
    pub fn deny_all(&mut self) {
        self.0.fill(0xff);
    }

    /// Allows `count` ports from `first`, as far as there are ports.
    pub fn allow(&mut self, first: u16, count: u16) {
        for port in (usize::from(first)..)
            .take(usize::from(count))
            .take_while(|p| *p < 1 << 16)
        {
            self.0[port / 8] &= !(1 << (port % 8));
        }
    }

    /// Whether an access to `port` exits.
    #[must_use]
    pub fn denies(&self, port: u16) -> bool {
        self.0[usize::from(port) / 8] & 1 << (port % 8) != 0
    }
}

/// Four bitmaps of a kilobyte: reads of low and high registers, writes of low and high
/// ones; a bit is set where an access exits.
#[derive(Clone, Debug)]
#[repr(C, align(4096))]
pub struct MsrPermissions([u8; 4096]);

impl MsrPermissions {
    const WRITES: usize = 2048;

    /// Denies all registers.
    pub fn deny_all(&mut self) {
        self.0.fill(0xff);
    }

    /// Allows reads, and writes if `write`.
    ///
    /// # Panics
    /// If the bitmap has no bits for the register.
    pub fn allow(&mut self, register: u32, write: bool) {
        let Some(bit) = Self::bit(register) else {
            panic!("no permission bits for register {register:#x}");
        };
        self.0[bit / 8] &= !(1 << (bit % 8));
        if write {
            self.0[Self::WRITES + bit / 8] &= !(1 << (bit % 8));
        }
    }

    /// Whether a read, or a write if `write`, exits. Registers without bits always do.
    #[must_use]
    pub fn denies(&self, register: u32, write: bool) -> bool {
        Self::bit(register).is_none_or(|bit| {
            let start = if write { Self::WRITES } else { 0 };
            self.0[start + bit / 8] & 1 << (bit % 8) != 0
        })
    }

    fn bit(register: u32) -> Option<usize> {
        const RANGE: u32 = 0x2000;
        let ranges = [0, 0xc000_0000];
        let position = ranges
            .iter()
            .position(|&first| register.wrapping_sub(first) < RANGE)?;
        Some(position * RANGE as usize + (register - ranges[position]) as usize)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn only_the_allowed_ports_do_not_exit() {
        let mut ports = IoPermissions([0; 2 * 4096]);
        ports.deny_all();
        ports.allow(0x3f8, 8);
        ports.allow(0xffff, 4);
        for port in 0..=u16::MAX {
            let allowed = (0x3f8..0x400).contains(&port) || port == 0xffff;
            assert_eq!(ports.denies(port), !allowed, "port {port:#x}");
        }
    }

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
