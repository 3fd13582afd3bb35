//! What the hypervisor tells a sandbox kernel at its start.
//!
//! A guest starts through the PVH ABI: 32-bit protected mode, EBX holding the
//! guest-physical address of an `hvm_start_info` (version 1). Its memory map names
//! the sandbox's memory; its command line is the one of the system description;
//! module 0 is the system image at [`crate::layout::IMAGE_BASE`]; module 1 is a
//! [`SandboxBoot`] encoded as [`SandboxBoot::to_words`]; module 2 are the words that the system
//! image's maker meant for this sandbox alone, its keys.

/// Marks a [`SandboxBoot`] of this layout.
pub const SANDBOX_BOOT_MAGIC: u64 = u64::from_le_bytes(*b"TERNBT02");

/// How the sandbox reaches its local APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApicAccess {
    /// The sandbox owns an x2APIC; only writes of the interrupt command register trap.
    X2apic,
    /// Through [`crate::hypercall::Hypercall::ApicRead`] and `ApicWrite`.
    Hypercall,
}

/// Which instruction makes a hypercall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// AMD-V: VMMCALL.
    Amd,
    /// VT-x: VMCALL.
    Intel,
}

/// Facts about the machine and the sandbox that only the hypervisor knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SandboxBoot {
    /// Position of this sandbox in the system description.
    pub sandbox: u64,
    /// How to reach the local APIC.
    pub apic: ApicAccess,
    /// Which instruction makes a hypercall.
    pub vendor: Vendor,
    /// Whether the local APIC timer can be armed with a TSC deadline.
    pub tsc_deadline: bool,
    /// Ticks of the timestamp counter a second.
    pub tsc_hertz: u64,
    /// Ticks of the local APIC timer a second, at divider 1.
    pub apic_timer_hertz: u64,
    /// The timestamp counter's value at the time epoch, the same in all sandboxes.
    /// It lies a little in the future when the first sandbox starts.
    pub epoch_tsc: u64,
    /// Bytes of the sandbox's own memory, from guest-physical zero.
    pub memory_bytes: u64,
    /// Bytes of the trace ring, its header included, at [`crate::layout::TRACE_BASE`].
    pub trace_bytes: u64,
    /// Bytes of the system image at [`crate::layout::IMAGE_BASE`].
    pub image_bytes: u64,
    /// Bytes that the sandbox's kernel may allocate at boot, in whole pages.
    pub heap_bytes: u64,
}

impl SandboxBoot {
    /// Words in the encoding.
    pub const WORDS: usize = 12;

    /// Its encoding, the magic first.
    #[must_use]
    pub fn to_words(&self) -> [u64; Self::WORDS] {
        [
            SANDBOX_BOOT_MAGIC,
            self.sandbox,
            matches!(self.apic, ApicAccess::X2apic) as u64,
            matches!(self.vendor, Vendor::Intel) as u64,
            self.tsc_deadline as u64,
            self.tsc_hertz,
            self.apic_timer_hertz,
            self.epoch_tsc,
            self.memory_bytes,
            self.trace_bytes,
            self.image_bytes,
            self.heap_bytes,
        ]
    }

    /// Decodes what [`SandboxBoot::to_words`] made; `None` without the magic.
    #[must_use]
    pub fn from_words(words: &[u64; Self::WORDS]) -> Option<Self> {
        if words[0] != SANDBOX_BOOT_MAGIC {
            return None;
        }
        Some(Self {
            sandbox: words[1],
            apic: if words[2] == 0 {
                ApicAccess::Hypercall
            } else {
                ApicAccess::X2apic
            },
            vendor: if words[3] == 0 {
                Vendor::Amd
            } else {
                Vendor::Intel
            },
            tsc_deadline: words[4] != 0,
            tsc_hertz: words[5],
            apic_timer_hertz: words[6],
            epoch_tsc: words[7],
            memory_bytes: words[8],
            trace_bytes: words[9],
            image_bytes: words[10],
            heap_bytes: words[11],
        })
    }
}
