//! Permission bitmaps, as far as both vendors' are the same: a bit is set where an access
//! exits, and everything is denied until allowed.
use crate::guest::Reach;
use crate::memory::frames::{Frames, OutOfMemory};
use bit_field::BitField;
use core::marker::PhantomData;

/// A guest's bitmaps: those of ports without the shared device's and with them, and that of
/// registers.
pub type Bitmaps<const PORTS: usize, const REGISTERS: usize, B> = (
    [&'static PortPermissions<PORTS>; 2],
    &'static RegisterPermissions<REGISTERS, B>,
);

/// Fresh bitmaps that allow what `reach` names.
///
/// # Errors
/// If there is no memory left.
pub fn allow<const PORTS: usize, const REGISTERS: usize, B: RegisterBits>(
    frames: &mut Frames,
    reach: &Reach,
) -> Result<Bitmaps<PORTS, REGISTERS, B>, OutOfMemory> {
    let without = allow_ports(frames, reach.ports.iter())?;
    let with = match &reach.shared_ports {
        None => without,
        Some(shared) => allow_ports(frames, reach.ports.iter().chain([shared]))?,
    };
    // SAFETY: a byte array; the marker beside the bytes has no size.
    let registers = unsafe { frames.place::<RegisterPermissions<REGISTERS, B>>()? };
    registers.deny_all();
    for (register, write) in reach.registers() {
        registers.allow(register, write);
    }
    Ok(([without, with], registers))
}

/// A fresh bitmap that allows these ports.
fn allow_ports<'a, const PORTS: usize>(
    frames: &mut Frames,
    allowed: impl Iterator<Item = &'a (u16, u16)>,
) -> Result<&'static PortPermissions<PORTS>, OutOfMemory> {
    // SAFETY: a byte array.
    let ports = unsafe { frames.place::<PortPermissions<PORTS>>()? };
    ports.deny_all();
    for &(first, count) in allowed {
        ports.allow(first, count);
    }
    Ok(ports)
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
            self.0[port / 8].set_bit(port % 8, false);
        }
    }

    /// Whether an access to `port` exits.
    #[must_use]
    pub fn denies(&self, port: u16) -> bool {
        self.0[usize::from(port) / 8].get_bit(usize::from(port) % 8)
    }
}

/// Where a vendor's bitmap has the bits of a model-specific register.
pub trait RegisterBits {
    /// The first registers of the ranges that have bits: 8192 registers from each.
    const RANGES: &'static [u32];

    /// The bits for reads and writes of the register with this `position` in the ranges,
    /// counted through from the first to the last.
    fn of(position: usize) -> [usize; 2];
}

/// Two bits a register: one for reads, one for writes.
#[derive(Clone, Debug)]
#[repr(C, align(4096))]
pub struct RegisterPermissions<const BYTES: usize, B>([u8; BYTES], PhantomData<B>);

impl<const BYTES: usize, B: RegisterBits> RegisterPermissions<BYTES, B> {
    /// Denies all registers.
    pub fn deny_all(&mut self) {
        self.0.fill(0xff);
    }

    /// Allows reads, and writes if `write`.
    ///
    /// # Panics
    /// If the bitmap has no bits for the register.
    pub fn allow(&mut self, register: u32, write: bool) {
        let Some(position) = position(B::RANGES, register) else {
            panic!("no permission bits for register {register:#x}");
        };
        for bit in &B::of(position)[..1 + usize::from(write)] {
            self.0[bit / 8].set_bit(bit % 8, false);
        }
    }

    /// Whether a read, or a write if `write`, exits. Registers without bits always do.
    #[must_use]
    pub fn denies(&self, register: u32, write: bool) -> bool {
        position(B::RANGES, register).is_none_or(|position| {
            let bit = B::of(position)[usize::from(write)];
            self.0[bit / 8].get_bit(bit % 8)
        })
    }
}

/// The position of `register` in `ranges` of 8192 registers each, one range after the other;
/// `None` for a register in none of them.
fn position(ranges: &[u32], register: u32) -> Option<usize> {
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
    use crate::{svm, vmx};

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

    /// Given a bitmap that allows to read one register, and to write the last of each range,
    /// then nothing else near its ranges is allowed.
    fn allows_nothing_else<const BYTES: usize, B: RegisterBits>() {
        let mut registers = RegisterPermissions::<BYTES, B>([0; BYTES], PhantomData);
        registers.deny_all();
        registers.allow(0x10, false);
        for first in B::RANGES {
            registers.allow(first + 0x1fff, true);
        }
        let all = B::RANGES.iter().flat_map(|first| *first..first + 0x3000);
        for register in all.chain([0x4000_0000]) {
            let writable = B::RANGES.iter().any(|first| register == first + 0x1fff);
            let readable = writable || register == 0x10;
            for (write, allowed) in [(false, readable), (true, writable)] {
                let denied = registers.denies(register, write);
                assert_eq!(denied, !allowed, "{register:#x}, write: {write}");
            }
        }
    }

    #[test]
    fn each_register_has_bits_of_its_own_for_reads_and_writes() {
        allows_nothing_else::<{ 2 * 4096 }, svm::bitmaps::BitPairs>();
        allows_nothing_else::<4096, vmx::bitmaps::FourBitmaps>();
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
