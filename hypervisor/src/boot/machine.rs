//! What the machine is: its memory, cores, controllers and clocks, and whether its
//! processor will do.
use super::information::{self, HandoverError, Information};
use crate::clock;
use crate::memory::host_tables::{LOW_MEMORY, Own};
use crate::ranges::{Range, Ranges};
use arrayvec::ArrayVec;
use core::fmt;
use tern_abi::layout::EXIT_COUNTS_BASE;
use tern_firmware::acpi::{self, AcpiError, MAX_CORES, Tables};
use tern_machine::apic::{LocalApic, has_tsc_deadline};
use tern_machine::cpu::{cpuid, cpuid_if_present};
use tern_units::{PAGE_SIZE, TscFrequency};

const _: () = assert!(MAX_CORES == tern_config::limits::MAX_CORES as usize);

/// What ACPI and the processor say of the machine.
#[derive(Clone, Debug)]
pub struct MachineFacts {
    /// APIC ids of the usable cores, the boot core's first.
    pub cores: ArrayVec<u32, MAX_CORES>,
    /// Interrupt controllers and timer.
    pub tables: Tables,
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// The timestamp counter's rate.
    pub tsc: TscFrequency,
    /// The APIC timer's rate at divider 1, ticks a second.
    pub apic_hertz: u64,
    /// Whether the APIC timer takes TSC deadlines.
    pub tsc_deadline: bool,
}

/// What a machine may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lacks {
    /// A local APIC.
    Apic,
    /// A way to learn the timestamp counter's rate.
    Clock,
    /// Physical addresses wide enough for where sandboxes see what they share; these bits.
    Addresses(u32),
}

/// Bits of a guest-physical address: those of the highest window.
const ADDRESS_BITS: u32 = u64::BITS - EXIT_COUNTS_BASE.as_u64().leading_zeros();

impl fmt::Display for Lacks {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Addresses(bits) => {
                return write!(
                    out,
                    "the processor's physical addresses have {bits} bits, sandboxes need \
                     {ADDRESS_BITS}: use a newer one"
                );
            }
            Self::Apic => "the processor has no local APIC: enable it in the firmware",
            Self::Clock => {
                "neither CPUID nor ACPI's power-management timer tells the timestamp counter's rate: \
                 enable ACPI in the firmware"
            }
        })
    }
}

/// Physical memory below 4 GiB, mapped to itself.
struct Mapped;

impl acpi::Memory for Mapped {
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]> {
        let end = address.checked_add(length as u64)?;
        if address == 0 || end > LOW_MEMORY {
            return None;
        }
        // SAFETY: the entry code mapped the range to itself; firmware's tables do not
        // change, and reads elsewhere below 4 GiB only yield other bytes.
        Some(unsafe { core::slice::from_raw_parts(address as *const u8, length) })
    }
}

/// Reads what the loader handed over.
///
/// # Errors
/// If it cannot be understood.
///
/// # Safety
/// `address` and `protocol` are the entry code's.
pub unsafe fn read_information(address: u64, protocol: u64) -> Result<Information, HandoverError> {
    if protocol == information::PVH {
        // SAFETY: as the caller vouches.
        return unsafe { information::from_pvh(address) };
    }
    // SAFETY: the information begins with its own length.
    let bytes = unsafe {
        let length = *(address as *const u32) as usize;
        core::slice::from_raw_parts(address as *const u8, length)
    };
    information::from_multiboot2(bytes, address)
}

/// Whether the processor has what the hypervisor needs beyond the instructions that the entry
/// code has looked for, and beyond virtualization.
///
/// # Errors
/// The first thing it lacks.
pub fn check_features() -> Result<(), Lacks> {
    const APIC: u32 = 1 << 9;
    if cpuid(1, 0).edx & APIC == 0 {
        return Err(Lacks::Apic);
    }
    check_addresses(cpuid_if_present(0x8000_0008).eax)
}

/// Whether guests of a processor with this leaf 8000_0008, EAX, can name every window: its
/// addresses have the bits in 7:0, those of guests the ones in 23:16 unless that is zero (AMD APM
/// vol. 3, appendix E).
fn check_addresses(widths: u32) -> Result<(), Lacks> {
    let [own, _, guests, _] = widths.to_le_bytes();
    let bits = u32::from(if guests == 0 { own } else { own.min(guests) });
    match bits {
        ADDRESS_BITS.. => Ok(()),
        _ => Err(Lacks::Addresses(bits)),
    }
}

/// Reads ACPI's tables and puts the boot core first.
///
/// # Errors
/// If the tables cannot be used.
///
/// # Safety
/// The entry code's state, on the boot core.
pub unsafe fn discover(information: &Information) -> Result<MachineFacts, AcpiError> {
    let root = information.acpi_root.or_else(|| acpi::find_root(&Mapped));
    let tables = acpi::read(&Mapped, root.ok_or(AcpiError::NoRoot)?)?;
    let own = own_apic_id();
    let mut cores = ArrayVec::new();
    cores.push(own);
    for &id in tables.cores.iter().filter(|&&id| id != own) {
        if cores.try_push(id).is_err() {
            break;
        }
    }
    Ok(MachineFacts { cores, tables })
}

/// This core's APIC id: from the topology leaf, which has all 32 bits, or leaf 1.
fn own_apic_id() -> u32 {
    let topology = cpuid_if_present(0xb);
    if topology.ebx != 0 {
        topology.edx
    } else {
        cpuid(1, 0).ebx >> 24
    }
}

/// The memory that is free: what the loader calls usable, without the hypervisor and
/// the image.
#[must_use]
pub fn free_memory(information: &Information, own: &Own) -> Ranges {
    let mut free = information.memory.clone();
    free.remove(own.image);
    if let Some(module) = information.module {
        let page = PAGE_SIZE as u64;
        free.remove(Range {
            start: module.start & !(page - 1),
            end: module.end.next_multiple_of(page),
        });
    }
    free
}

/// Measures the machine's clocks on this core, but for the timestamp counter's rate if
/// the loader knows it.
///
/// # Errors
/// If there is nothing to measure against.
pub fn measure(
    facts: &MachineFacts,
    known: Option<u64>,
    local: LocalApic,
) -> Result<Timing, Lacks> {
    let tsc = match known.and_then(TscFrequency::from_hertz) {
        Some(tsc) => tsc,
        None => clock::tsc_frequency(facts.tables.timer()).ok_or(Lacks::Clock)?,
    };
    Ok(Timing {
        tsc,
        apic_hertz: clock::apic_timer_hertz(local, tsc),
        tsc_deadline: has_tsc_deadline(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_whose_addresses_do_not_reach_every_window_is_refused() {
        for (widths, bits) in [
            (0x3027, None),        // 39, as of many an Intel processor
            (0x3030, None),        // 48, as of AMD's
            (0x30_3030, None),     // and guests the same
            (0x3024, Some(36)),    // 36, as of Intel's with VT-x until 2012
            (0x24_3030, Some(36)), // guests fewer
        ] {
            let lack = check_addresses(widths).err();
            assert_eq!(lack, bits.map(Lacks::Addresses), "{widths:#x}");
        }
    }
}
