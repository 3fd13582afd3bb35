//! The PVH boot protocol: what a loader tells a guest in `hvm_start_info`.
//!
//! Source: Xen public headers, `arch-x86/hvm/start_info.h`. QEMU's `-kernel` uses it,
//! and the hypervisor for its guests.
use core::mem::size_of;

/// First word of [`StartInfo`].
pub const MAGIC: u32 = 0x336e_c578;

/// Type of an ELF note, of owner "Xen", that holds the 32-bit entry address.
pub const ENTRY_NOTE: u32 = 18;

/// Type of a [`MemoryRegion`] that is usable memory.
pub const MEMORY_USABLE: u32 = 1;

/// What EBX points to at the guest's entry. Addresses are physical.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct StartInfo {
    /// [`MAGIC`].
    pub magic: u32,
    /// 1: the memory map's fields are valid.
    pub version: u32,
    /// Xen's domain flags; 0 elsewhere.
    pub flags: u32,
    /// Number of modules.
    pub modules: u32,
    /// Address of the [`Module`]s.
    pub module_list: u64,
    /// Address of the command line, zero-terminated; 0 for none.
    pub command_line: u64,
    /// Address of ACPI's root pointer; 0 for none.
    pub acpi_root: u64,
    /// Address of the [`MemoryRegion`]s.
    pub memory_map: u64,
    /// Number of regions.
    pub memory_regions: u32,
    /// Zero.
    pub reserved: u32,
}

/// One module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Module {
    /// Its address.
    pub address: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// Address of its command line; 0 for none.
    pub command_line: u64,
    /// Zero.
    pub reserved: u64,
}

/// One range of the memory map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct MemoryRegion {
    /// Its address.
    pub address: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// What it is, with the numbers of the E820 interface: [`MEMORY_USABLE`] or not.
    pub kind: u32,
    /// Zero.
    pub reserved: u32,
}

const _: () = assert!(size_of::<StartInfo>() == 56);
const _: () = assert!(size_of::<Module>() == 32);
const _: () = assert!(size_of::<MemoryRegion>() == 24);

/// Start information that was checked, with the mapping through which it is read.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    info: StartInfo,
    offset: u64,
}

impl Start {
    /// Reads the start information at physical `address`, where physical memory is
    /// mapped at virtual `offset`. `None` if it is not one of version 1 or later.
    ///
    /// # Safety
    /// The range, and all that it points to, must be mapped there and stay unchanged.
    #[must_use]
    pub unsafe fn read(address: u64, offset: u64) -> Option<Self> {
        // SAFETY: the caller vouches for the range.
        let info = unsafe { ((address + offset) as *const StartInfo).read_unaligned() };
        (info.magic == MAGIC && info.version >= 1).then_some(Self { info, offset })
    }

    /// The raw structure.
    #[must_use]
    pub const fn info(&self) -> &StartInfo {
        &self.info
    }

    /// The command line; empty if there is none or it is not UTF-8.
    #[must_use]
    pub fn command_line(&self) -> &'static str {
        if self.info.command_line == 0 {
            return "";
        }
        let first = (self.info.command_line + self.offset) as *const u8;
        // SAFETY: `read`'s caller vouched for what the structure points to, up to the
        // terminating zero. (`CStr` would call a C library's `strlen`.)
        let line = unsafe {
            let mut length = 0;
            while first.add(length).read() != 0 {
                length += 1;
            }
            core::slice::from_raw_parts(first, length)
        };
        core::str::from_utf8(line).unwrap_or("")
    }

    /// The modules.
    pub fn modules(&self) -> impl Iterator<Item = Module> + use<> {
        self.list(self.info.module_list, self.info.modules)
    }

    /// The memory map.
    pub fn memory_map(&self) -> impl Iterator<Item = MemoryRegion> + use<> {
        self.list(self.info.memory_map, self.info.memory_regions)
    }

    fn list<T: Copy>(&self, address: u64, count: u32) -> impl Iterator<Item = T> + use<T> {
        let first = (address + self.offset) as *const T;
        // SAFETY: `read`'s caller vouched for what the structure points to.
        (0..count as usize).map(move |i| unsafe { first.add(i).read_unaligned() })
    }
}
