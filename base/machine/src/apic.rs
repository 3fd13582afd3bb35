//! The local APIC: register numbers and the two ways to reach them.
//!
//! Sources: Intel SDM vol. 3 §§ "Advanced programmable interrupt controller" and
//! "Extended xAPIC (x2APIC)"; AMD APM vol. 2 §16.
use crate::cpu::{cpuid, read_msr, write_msr};
use bit_field::BitField;
use core::arch::asm;

/// A register of the local APIC by its x2APIC number: its MSR is 0x800 plus the number,
/// its offset in the xAPIC page 16 times the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Register(pub u16);

impl Register {
    /// Local APIC id; in xAPIC mode in bits 31:24.
    pub const ID: Self = Self(0x02);
    /// Version.
    pub const VERSION: Self = Self(0x03);
    /// Task priority.
    pub const TASK_PRIORITY: Self = Self(0x08);
    /// End of interrupt: write 0.
    pub const END_OF_INTERRUPT: Self = Self(0x0b);
    /// Spurious vector; bit 8 enables the APIC.
    pub const SPURIOUS: Self = Self(0x0f);
    /// Error status: write 0, then read.
    pub const ERROR_STATUS: Self = Self(0x28);
    /// Local vector table: corrected machine checks.
    pub const LVT_CORRECTED_ERROR: Self = Self(0x2f);
    /// Interrupt command (in xAPIC mode the low half; 0x31 is the high half).
    pub const INTERRUPT_COMMAND: Self = Self(0x30);
    /// Interrupt command, high half: destination. xAPIC only.
    pub const INTERRUPT_COMMAND_HIGH: Self = Self(0x31);
    /// Local vector table: timer.
    pub const LVT_TIMER: Self = Self(0x32);
    /// Local vector table: thermal sensor.
    pub const LVT_THERMAL: Self = Self(0x33);
    /// Local vector table: performance counters.
    pub const LVT_PERFORMANCE: Self = Self(0x34);
    /// Local vector table: pin LINT0.
    pub const LVT_LINT0: Self = Self(0x35);
    /// Local vector table: pin LINT1.
    pub const LVT_LINT1: Self = Self(0x36);
    /// Local vector table: APIC errors.
    pub const LVT_ERROR: Self = Self(0x37);
    /// Timer: initial count. Writing it arms the timer; 0 stops it.
    pub const TIMER_INITIAL: Self = Self(0x38);
    /// Timer: current count.
    pub const TIMER_CURRENT: Self = Self(0x39);
    /// Timer: divider.
    pub const TIMER_DIVIDE: Self = Self(0x3e);
    /// Interrupt to oneself: write the vector. x2APIC only.
    pub const SELF_INTERRUPT: Self = Self(0x3f);
    /// AMD's further features, where the version says that there are some.
    pub const EXTENDED_FEATURE: Self = Self(0x40);

    /// Its model-specific register in x2APIC mode.
    #[must_use]
    pub const fn msr(self) -> u32 {
        0x800 + self.0 as u32
    }
}

/// Bit of a local vector table entry that masks it.
pub const LVT_MASKED: u32 = 1 << 16;
/// Bits of the timer's entry for one-shot mode.
pub const TIMER_ONE_SHOT: u32 = 0;
/// Bits of the timer's entry for periodic mode.
pub const TIMER_PERIODIC: u32 = 1 << 17;
/// Bits of the timer's entry for TSC-deadline mode.
pub const TIMER_TSC_DEADLINE: u32 = 2 << 17;
/// Divider setting for "divide by 1".
pub const DIVIDE_BY_1: u32 = 0b1011;
/// Bit of the spurious vector register that enables the APIC.
pub const SOFTWARE_ENABLE: u32 = 1 << 8;
/// The TSC-deadline register.
pub const MSR_TSC_DEADLINE: u32 = 0x6e0;
/// The APIC base register: bits 11 (enabled), 10 (x2APIC), 8 (boot core), address.
pub const MSR_APIC_BASE: u32 = 0x1b;

/// Interrupt command: delivery mode INIT, asserted, edge.
pub const COMMAND_INIT: u32 = 0x4500;
/// Interrupt command: start-up; the low byte is the page to start at.
pub const COMMAND_STARTUP: u32 = 0x4600;
/// Interrupt command: non-maskable interrupt, asserted.
pub const COMMAND_NMI: u32 = 0x4400;
/// Interrupt command: fixed delivery, asserted; the low byte is the vector.
pub const COMMAND_FIXED: u32 = 0x4000;

/// Returns the entries of the local vector table of an APIC with this `version` register and
/// extended feature register: those that every APIC has, and as many more as it says (Intel SDM
/// vol. 3 §11.4.8: the number less one in bits 23:16; AMD APM vol. 2 §16.3.4 and §16.3.8: bit 31
/// for more of its own, their number in bits 23:16 of the feature register).
pub fn local_entries(version: u32, extended: u32) -> impl Iterator<Item = Register> {
    const FIRST_EXTENDED: u16 = 0x50;
    const ENTRIES: [Register; 7] = [
        Register::LVT_TIMER,
        Register::LVT_LINT0,
        Register::LVT_LINT1,
        Register::LVT_ERROR,
        Register::LVT_PERFORMANCE,
        Register::LVT_THERMAL,
        Register::LVT_CORRECTED_ERROR,
    ];
    let count = version.get_bits(16..24) as usize + 1;
    let more = match version.get_bit(EXTENDED_SPACE) {
        true => extended.get_bits(16..24) as u16,
        false => 0,
    };
    let extended = (0..more).map(|number| Register(FIRST_EXTENDED + number));
    ENTRIES.into_iter().take(count.max(4)).chain(extended)
}

/// Bit of the version register: there are registers from [`Register::EXTENDED_FEATURE`] on.
const EXTENDED_SPACE: usize = 31;

/// Whether the processor has an x2APIC (CPUID 1, ECX bit 21).
#[must_use]
pub fn has_x2apic() -> bool {
    cpuid(1, 0).ecx & (1 << 21) != 0
}

/// Whether the timer can be armed with a TSC deadline (CPUID 1, ECX bit 24).
#[must_use]
pub fn has_tsc_deadline() -> bool {
    cpuid(1, 0).ecx & (1 << 24) != 0
}

/// How this processor's local APIC is reached by who owns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalApic {
    /// By model-specific registers.
    X2apic,
    /// By memory at this virtual address.
    Xapic(u64),
}

impl LocalApic {
    /// Enables this core's APIC, as an x2APIC where there is one. `offset` is where
    /// physical memory is mapped.
    ///
    /// # Safety
    /// The caller owns the APIC, and its page is mapped uncached at `offset` plus its
    /// address (0xFEE0_0000 unless firmware moved it).
    #[must_use]
    pub unsafe fn enable(offset: u64) -> Self {
        const ENABLED: u64 = 1 << 11;
        const X2APIC: u64 = 1 << 10;
        // SAFETY: every processor with long mode has the APIC base register.
        let base = unsafe { read_msr(MSR_APIC_BASE) };
        if has_x2apic() {
            // SAFETY: CPUID reports the mode. xAPIC mode must be on before x2APIC mode.
            unsafe {
                write_msr(MSR_APIC_BASE, base | ENABLED);
                write_msr(MSR_APIC_BASE, base | ENABLED | X2APIC);
            }
            Self::X2apic
        } else {
            // SAFETY: sets only the enable bit.
            unsafe { write_msr(MSR_APIC_BASE, base | ENABLED) };
            Self::Xapic((base & 0xf_ffff_f000) + offset)
        }
    }

    /// Reads a register.
    ///
    /// # Safety
    /// The caller owns the APIC, and the register exists in its mode.
    #[inline]
    #[must_use]
    pub unsafe fn read(self, register: Register) -> u32 {
        match self {
            // SAFETY: as the caller vouches.
            Self::X2apic => unsafe { read_msr(register.msr()) as u32 },
            // SAFETY: `enable` knows the page.
            Self::Xapic(page) => unsafe {
                ((page + u64::from(register.0) * 16) as *const u32).read_volatile()
            },
        }
    }

    /// Writes a register.
    ///
    /// # Safety
    /// As for [`LocalApic::read`]; what the write sets off must be intended.
    #[inline]
    pub unsafe fn write(self, register: Register, value: u32) {
        match self {
            // SAFETY: as the caller vouches.
            Self::X2apic => unsafe { write_msr(register.msr(), u64::from(value)) },
            // SAFETY: `enable` knows the page.
            Self::Xapic(page) => unsafe {
                ((page + u64::from(register.0) * 16) as *mut u32).write_volatile(value);
            },
        }
    }

    /// Masks every entry of the local vector table, whatever the firmware left there.
    ///
    /// # Safety
    /// The caller owns the APIC, and waits for none of its interrupts.
    pub unsafe fn mask_local_entries(self) {
        // SAFETY: as the caller vouches. The version exists everywhere and says what else does.
        unsafe {
            let version = self.read(Register::VERSION);
            let extended = match version.get_bit(EXTENDED_SPACE) {
                true => self.read(Register::EXTENDED_FEATURE),
                false => 0,
            };
            for entry in local_entries(version, extended) {
                self.write(entry, LVT_MASKED);
            }
        }
    }

    /// This core's APIC id.
    #[must_use]
    pub fn id(self) -> u32 {
        // SAFETY: reading the id has no effect.
        let id = unsafe { self.read(Register::ID) };
        match self {
            Self::X2apic => id,
            Self::Xapic(_) => id >> 24,
        }
    }

    /// Sends the interrupt `command` (`COMMAND_*` with its low byte) to the core with
    /// APIC id `destination`, after a bounded wait for the previous one.
    ///
    /// What was written to memory before is seen by the receiver's handler: in x2APIC mode the
    /// write is no serializing one, and without a fence it could overtake others (Intel SDM
    /// vol. 3 §11.12.3). In xAPIC mode it is a write to uncached memory, which does not.
    ///
    /// # Safety
    /// The receiving core must be prepared for it.
    pub unsafe fn send(self, destination: u32, command: u32) {
        const PENDING: u32 = 1 << 12;
        // An interrupt leaves within a microsecond, unless the controller is out of order.
        const READS: u32 = 1000;
        match self {
            // SAFETY: the caller vouches for the effect; in x2APIC mode the register is
            // 64 bits wide and never pending.
            Self::X2apic => unsafe {
                asm!("mfence", "lfence", options(nostack, preserves_flags));
                write_msr(
                    Register::INTERRUPT_COMMAND.msr(),
                    u64::from(destination) << 32 | u64::from(command),
                );
            },
            // SAFETY: the caller vouches for the effect.
            Self::Xapic(_) => unsafe {
                for _ in 0..READS {
                    if self.read(Register::INTERRUPT_COMMAND) & PENDING == 0 {
                        break;
                    }
                }
                self.write(Register::INTERRUPT_COMMAND_HIGH, destination << 24);
                self.write(Register::INTERRUPT_COMMAND, command);
            },
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    #[test]
    fn every_entry_that_an_apic_has_is_known_and_no_other() {
        for (version, extended, numbers, whose) in [
            (0x0003_0010, 0, &[0x32, 0x35, 0x36, 0x37][..], "P6"),
            (
                0x0005_0014,
                0,
                &[0x32, 0x35, 0x36, 0x37, 0x34, 0x33],
                "Pentium 4, QEMU, Bochs",
            ),
            (
                0x0106_0015,
                0,
                &[0x32, 0x35, 0x36, 0x37, 0x34, 0x33, 0x2f],
                "Nehalem and later",
            ),
            (
                0x8105_0010,
                0x0004_0007,
                &[0x32, 0x35, 0x36, 0x37, 0x34, 0x33, 0x50, 0x51, 0x52, 0x53],
                "AMD from family 10h on",
            ),
            (
                0x0005_0010,
                0x0004_0007,
                &[0x32, 0x35, 0x36, 0x37, 0x34, 0x33],
                "not extended",
            ),
        ] {
            let entries: Vec<_> = local_entries(version, extended).map(|it| it.0).collect();
            assert_eq!(entries, numbers, "{whose}");
        }
    }
}
