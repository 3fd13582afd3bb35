//! Outputs that voters withheld, and why.
use serde::Serialize;
use tern_trace::{Event, WithheldReason};

use crate::layout::Layout;
use crate::names::withheld_name;

/// An output that was withheld.
#[derive(Clone, Debug, Serialize)]
pub struct Withheld {
    /// The set.
    pub set: String,
    /// The epoch.
    pub epoch: u32,
    /// When its voter withheld it.
    pub at_ns: i64,
    /// `late`, `digest` or `no-verdict`.
    pub reason: &'static str,
}

/// Collected over all cores, one core after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct WithheldLog {
    found: Vec<(i64, u16, u32, WithheldReason)>,
}

impl WithheldLog {
    pub(super) fn event(&mut self, at: i64, event: Event) {
        if let Event::Withheld { set, epoch, reason } = event {
            self.found.push((at, set, epoch, reason));
        }
    }

    /// In the order of time.
    pub(super) fn summarize(mut self, layout: &Layout) -> Vec<Withheld> {
        self.found.sort_unstable();
        let found = self.found.into_iter();
        found
            .map(|(at_ns, set, epoch, reason)| Withheld {
                set: layout.set_name(set),
                epoch,
                at_ns,
                reason: withheld_name(reason),
            })
            .collect()
    }
}
