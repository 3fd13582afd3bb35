//! What outcomes are called in reports.
use tern_trace::{RepairResult, VoteOutcome, WithheldReason};

/// A vote's outcome in reports.
#[must_use]
pub const fn outcome_name(outcome: VoteOutcome) -> &'static str {
    match outcome {
        VoteOutcome::Unanimous => "unanimous",
        VoteOutcome::Minority => "minority",
        VoteOutcome::Timeout => "timeout",
        VoteOutcome::NoMajority => "no-majority",
        VoteOutcome::Held => "held",
    }
}

/// Whether an epoch has an old input in place of the one that was asked for. Nothing is asked
/// for before the first command, which follows the input of epoch 1.
#[must_use]
pub const fn is_stale(epoch: u32, fresh: bool) -> bool {
    !fresh && epoch > 1
}

/// Why an output was withheld, in reports.
#[must_use]
pub const fn withheld_name(reason: WithheldReason) -> &'static str {
    match reason {
        WithheldReason::Late => "late",
        WithheldReason::Digest => "digest",
        WithheldReason::NoVerdict => "no-verdict",
    }
}

/// How a round of repair ended, in reports.
#[must_use]
pub const fn result_name(result: RepairResult) -> &'static str {
    match result {
        RepairResult::Done => "done",
        RepairResult::MoreRounds => "more-rounds",
        RepairResult::Failed => "failed",
    }
}
