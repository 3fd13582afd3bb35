//! What the kernel's own work costs on a platform.
use tern_units::Duration;

/// The costs that the analysis adds, each an upper bound measured by a calibration
/// boot. The default is a platform without overheads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CostTable {
    /// Switching threads, address space and floating-point state included.
    pub context_switch: Duration,
    /// Entering and leaving the timer's interrupt, with the decision what runs.
    pub timer_interrupt: Duration,
    /// Charging a server and posting a replenishment.
    pub replenishment: Duration,
    /// Entering and leaving a system call.
    pub system_call: Duration,
    /// A hypercall and back.
    pub hypercall: Duration,
    /// Hashing a page.
    pub page_hash: Duration,
    /// Copying a page.
    pub page_copy: Duration,
    /// Taking a page in a repair: reading it and what is said of it, the SHA-256 that confirms
    /// it, its leaf twice by the fast hash, putting it in place, a record.
    pub page_repair: Duration,
    /// Writing a trace record.
    pub trace_record: Duration,
    /// The longest section that runs with interrupts off.
    pub longest_non_preemptible: Duration,
}

impl CostTable {
    /// No overheads.
    pub const NONE: Self = Self {
        context_switch: Duration::ZERO,
        timer_interrupt: Duration::ZERO,
        replenishment: Duration::ZERO,
        system_call: Duration::ZERO,
        hypercall: Duration::ZERO,
        page_hash: Duration::ZERO,
        page_copy: Duration::ZERO,
        page_repair: Duration::ZERO,
        trace_record: Duration::ZERO,
        longest_non_preemptible: Duration::ZERO,
    };

    /// Trace records of one activation: switch to and from, release, exhaustion, and
    /// a replenishment posted (two records) and applied.
    const RECORDS: u64 = 7;

    /// What one activation of a server costs at most: an interrupt at its start and one
    /// at its end, the switches to it and back, a replenishment, and their records.
    #[must_use]
    pub const fn activation(&self) -> Duration {
        self.timer_interrupt
            .saturating_add(self.context_switch)
            .saturating_mul(2)
            .saturating_add(self.replenishment)
            .saturating_add(self.trace_record.saturating_mul(Self::RECORDS))
    }
}

/// What counts again and again of a cost table, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct KernelWork {
    /// What an activation costs.
    pub(super) activation: u64,
    /// The longest section that runs with interrupts off.
    pub(super) section: u64,
}

impl From<&CostTable> for KernelWork {
    fn from(costs: &CostTable) -> Self {
        Self {
            activation: costs.activation().as_nanos(),
            section: costs.longest_non_preemptible.as_nanos(),
        }
    }
}
