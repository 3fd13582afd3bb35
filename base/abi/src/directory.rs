//! The directory: one page that the hypervisor fills so that a tool outside the
//! machine finds each sandbox's memory, trace ring and exit counts, and the channels: after
//! the entries comes the host-physical address of each channel, in the order of the system
//! description, as many as the page has room for.
//!
//! The hypervisor prints `directory at 0x…` on the console once it is complete.

/// Marks a directory of this layout; its first word.
pub const DIRECTORY_MAGIC: u64 = u64::from_le_bytes(*b"TERNDIR1");

/// Words before the first entry: magic, TSC frequency in hertz, TSC value at the time
/// epoch, number of entries.
pub const HEADER_WORDS: usize = 4;

/// The most sandboxes that fit the page.
pub const MAX_ENTRIES: usize = 63;

/// The whole directory's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryHeader {
    /// Ticks of the timestamp counter a second.
    pub tsc_hertz: u64,
    /// The timestamp counter's value at the time epoch.
    pub epoch_tsc: u64,
    /// Number of entries that follow.
    pub entries: u64,
}

impl DirectoryHeader {
    /// Its encoding, the magic first.
    #[must_use]
    pub fn to_words(&self) -> [u64; HEADER_WORDS] {
        [
            DIRECTORY_MAGIC,
            self.tsc_hertz,
            self.epoch_tsc,
            self.entries,
        ]
    }

    /// Decodes what `to_words` made; `None` without the magic or with too many entries.
    #[must_use]
    pub fn from_words(words: &[u64; HEADER_WORDS]) -> Option<Self> {
        if words[0] != DIRECTORY_MAGIC || words[3] > MAX_ENTRIES as u64 {
            return None;
        }
        Some(Self {
            tsc_hertz: words[1],
            epoch_tsc: words[2],
            entries: words[3],
        })
    }
}

/// One sandbox, in the order of the system description. All addresses are
/// host-physical; all sizes are bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// Start of the sandbox's memory: its guest-physical zero.
    pub memory: u64,
    /// Size of the sandbox's memory.
    pub memory_bytes: u64,
    /// Start of the trace ring.
    pub trace: u64,
    /// Size of the trace ring.
    pub trace_bytes: u64,
    /// Start of the exit counts, one `u64` per [`ExitReason`].
    pub exit_counts: u64,
    /// Local APIC id of the sandbox's core.
    pub apic_id: u64,
    /// Start of the violation record: see [`Violation`].
    pub violation: u64,
}

impl DirectoryEntry {
    /// Words in the encoding.
    pub const WORDS: usize = 8;

    /// Its encoding.
    #[must_use]
    pub fn to_words(&self) -> [u64; Self::WORDS] {
        [
            self.memory,
            self.memory_bytes,
            self.trace,
            self.trace_bytes,
            self.exit_counts,
            self.apic_id,
            self.violation,
            0,
        ]
    }

    /// Decodes what `to_words` made.
    #[must_use]
    pub fn from_words(words: &[u64; Self::WORDS]) -> Self {
        Self {
            memory: words[0],
            memory_bytes: words[1],
            trace: words[2],
            trace_bytes: words[3],
            exit_counts: words[4],
            apic_id: words[5],
            violation: words[6],
        }
    }
}

/// Why a guest left to the hypervisor, the same words on AMD-V and VT-x.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum ExitReason {
    /// A hypercall other than those that have a reason of their own.
    Hypercall = 0,
    /// A hypercall to the local APIC, where the sandbox does not own it.
    ApicHypercall = 1,
    /// CPUID.
    Cpuid = 2,
    /// An access to a model-specific register that is not the sandbox's.
    Msr = 3,
    /// An access to an I/O port that is not the sandbox's.
    Port = 4,
    /// An access to memory that is not the sandbox's.
    NestedPageFault = 5,
    /// An exception that the hypervisor intercepts: #DB, #AC.
    Exception = 6,
    /// A non-maskable interrupt.
    Nmi = 7,
    /// A machine check.
    MachineCheck = 8,
    /// An external interrupt that arrived while the hypervisor waited for one.
    Interrupt = 9,
    /// A triple fault.
    Shutdown = 10,
    /// INIT or start-up IPI.
    Init = 11,
    /// XSETBV, or another instruction that no sandbox may execute.
    Instruction = 12,
    /// A write of the interrupt command register.
    InterruptCommand = 13,
    /// Anything else.
    Other = 14,
    /// A hypercall that rang a doorbell.
    Doorbell = 15,
    /// A hypercall to ring a doorbell that was refused: the sandbox has no such doorbell, or
    /// its interval had not passed.
    RefusedDoorbell = 16,
    /// None that a guest gave: the hypervisor itself failed on the sandbox's core, by a fault or
    /// a panic. The record has the fault's vector, or [`Violation::PANIC`].
    Hypervisor = 17,
    /// A write of a control register that changes bits which are not the sandbox's.
    ControlRegister = 18,
    /// A hypercall to seal a channel.
    Seal = 19,
    /// A hypercall to close a number of sealed channels.
    Close = 20,
    /// A hypercall to take a device that several sandboxes share.
    Take = 21,
    /// Another core's request to look whose a shared device is.
    Attend = 22,
    /// An access to a port of a shared device that another sandbox has: without effect.
    DeviceAway = 23,
}

impl ExitReason {
    /// Every reason, in the order of the counts.
    pub const ALL: [Self; 24] = [
        Self::Hypercall,
        Self::ApicHypercall,
        Self::Cpuid,
        Self::Msr,
        Self::Port,
        Self::NestedPageFault,
        Self::Exception,
        Self::Nmi,
        Self::MachineCheck,
        Self::Interrupt,
        Self::Shutdown,
        Self::Init,
        Self::Instruction,
        Self::InterruptCommand,
        Self::Other,
        Self::Doorbell,
        Self::RefusedDoorbell,
        Self::Hypervisor,
        Self::ControlRegister,
        Self::Seal,
        Self::Close,
        Self::Take,
        Self::Attend,
        Self::DeviceAway,
    ];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hypercall => "hypercall",
            Self::ApicHypercall => "apic-hypercall",
            Self::Cpuid => "cpuid",
            Self::Msr => "msr",
            Self::Port => "port",
            Self::NestedPageFault => "nested-page-fault",
            Self::Exception => "exception",
            Self::Nmi => "nmi",
            Self::MachineCheck => "machine-check",
            Self::Interrupt => "interrupt",
            Self::Shutdown => "shutdown",
            Self::Init => "init",
            Self::Instruction => "instruction",
            Self::InterruptCommand => "interrupt-command",
            Self::Other => "other",
            Self::Doorbell => "doorbell",
            Self::RefusedDoorbell => "refused-doorbell",
            Self::Hypervisor => "hypervisor",
            Self::ControlRegister => "control-register",
            Self::Seal => "seal",
            Self::Close => "close",
            Self::Take => "take",
            Self::Attend => "attend",
            Self::DeviceAway => "device-away",
        }
    }
}

/// What a stopped sandbox did: the hypervisor's record, also printed on the console as
/// `sandbox NAME stopped: …`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Violation {
    /// One more than the [`ExitReason`], or zero while the sandbox runs.
    pub reason: u64,
    /// The port, register, guest-physical address or exception vector concerned.
    pub object: u64,
    /// The value written, or the error code, where there is one.
    pub value: u64,
    /// The guest's instruction pointer.
    pub instruction: u64,
    /// The timestamp counter's value.
    pub tsc: u64,
}

impl Violation {
    /// Words in the encoding.
    pub const WORDS: usize = 5;

    /// The object of a record of the hypervisor's panic: no exception has that vector. The value
    /// is the line of the source.
    pub const PANIC: u64 = 256;

    /// Its encoding.
    #[must_use]
    pub fn to_words(&self) -> [u64; Self::WORDS] {
        [
            self.reason,
            self.object,
            self.value,
            self.instruction,
            self.tsc,
        ]
    }

    /// Decodes what `to_words` made.
    #[must_use]
    pub fn from_words(words: &[u64; Self::WORDS]) -> Self {
        Self {
            reason: words[0],
            object: words[1],
            value: words[2],
            instruction: words[3],
            tsc: words[4],
        }
    }
}
