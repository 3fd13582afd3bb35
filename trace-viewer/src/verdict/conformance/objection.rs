//! The rules that a server can break, by name.
use serde::Serialize;

/// A rule of docs/sched.md, or of the scheduler that keeps servers to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Budget returns before its activation time plus the period (rules 3 and 4), or that of an
    /// I/O server before the end of its last plus what was used by U.
    Premature,
    /// Budget returns later than that, and no later chunk explains it (rule 5).
    Late,
    /// More returns than was used (rule 1).
    Amplified,
    /// Chunks return together that have times of their own (rule 3).
    Merged,
    /// What was used is not charged (rule 3).
    Uncharged,
    /// The core turns to a server that has no budget (rule 7).
    WithoutBudget,
    /// A server ran on after its budget was used up, for longer than a timer can be late
    /// (rule 7).
    Overrun,
    /// A server is said to be exhausted and has budget, or the other way round.
    Exhaustion,
    /// A server is said to have got budget that it has not, or gets the core without being
    /// said to.
    Applied,
    /// A server of lower priority gets the core, or nobody does.
    PassedOver,
}

impl Rule {
    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Premature => "premature",
            Self::Late => "late",
            Self::Amplified => "amplified",
            Self::Merged => "merged",
            Self::Uncharged => "uncharged",
            Self::WithoutBudget => "without-budget",
            Self::Overrun => "overrun",
            Self::Exhaustion => "exhaustion",
            Self::Applied => "applied",
            Self::PassedOver => "passed-over",
        }
    }
}

/// What is wrong with a replenishment.
#[derive(Clone, Debug)]
pub(super) struct Objection {
    pub(super) rule: Rule,
    /// In words, with the numbers.
    pub(super) text: String,
}
