//! Permission bitmaps, as far as both vendors' are the same: a bit is set where an access
//! exits, and everything is denied until allowed.
use crate::frames::{Frames, OutOfMemory};
use crate::guest::Reach;

/// A bitmap of model-specific registers.
///
/// # Safety
/// It consists of bytes, of which any are valid.
pub unsafe trait RegisterPermissions {
    /// Denies all registers.
    fn deny_all(&mut self);

    /// Allows reads, and writes if `write`.
    ///
    /// # Panics
    /// If the bitmap has no bits for the register.
    fn allow(&mut self, register: u32, write: bool);
}

/// A guest's two bitmaps.
pub type Bitmaps<const BYTES: usize, R> = (&'static PortPermissions<BYTES>, &'static R);

/// Fresh bitmaps that allow what `reach` names.
///
/// # Errors
/// If there is no memory left.
pub fn allow<const BYTES: usize, R: RegisterPermissions>(
    frames: &mut Frames,
    reach: &Reach,
) -> Result<Bitmaps<BYTES, R>, OutOfMemory> {
    // SAFETY: byte arrays.
    let ports = unsafe { frames.place::<PortPermissions<BYTES>>()? };
    // SAFETY: the trait is for bitmaps of bytes alone.
    let registers = unsafe { frames.place::<R>()? };
    ports.deny_all();
    registers.deny_all();
    for &(first, count) in &reach.ports {
        ports.allow(first, count);
    }
    for (register, write) in reach.registers() {
        registers.allow(register, write);
    }
    Ok((ports, registers))
}

/// One bit a port. What a vendor has past the bits of the last port stays set.
#[derive(Clone, Debug)]
#[repr(C, align(4096))]
pub struct PortPermissions<const BYTES: usize>([u8; BYTES]);

impl<const BYTES: usize> PortPermissions<BYTES> {
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

/// The position of `register` in a bitmap of 8192 registers from each of `ranges`, one range
/// after the other; `None` for a register that the bitmap does not have.
#[must_use]
pub fn position(ranges: &[u32], register: u32) -> Option<usize> {
    const RANGE: u32 = 0x2000;
    let ranges = ranges.iter().zip((0..).step_by(RANGE as usize));
    ranges
        .map(|(&first, before)| (register.wrapping_sub(first), before))
        .find(|(offset, _)| *offset < RANGE)
        .map(|(offset, before)| before + offset as usize)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn only_the_allowed_ports_do_not_exit() {
        let mut ports = PortPermissions([0; 3 * 4096]);
        ports.deny_all();
        ports.allow(0x3f8, 8);
        ports.allow(0xffff, 4);
        for port in 0..=u16::MAX {
            let allowed = (0x3f8..0x400).contains(&port) || port == 0xffff;
            assert_eq!(ports.denies(port), !allowed, "port {port:#x}");
        }
        assert!(
            ports.0[0x2000..].iter().all(|byte| *byte == 0xff),
            "accesses that wrap around exit"
        );
    }

    #[test]
    fn registers_have_positions_in_their_ranges_alone() {
        let ranges = [0, 0xc000_0000];
        for (register, at) in [
            (0, Some(0)),
            (0x1fff, Some(0x1fff)),
            (0x2000, None),
            (0xbfff_ffff, None),
            (0xc000_0000, Some(0x2000)),
            (0xc000_1fff, Some(0x3fff)),
            (0xc000_2000, None),
        ] {
            assert_eq!(position(&ranges, register), at, "{register:#x}");
        }
    }
}
