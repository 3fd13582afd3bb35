//! What gets a mark of its own on a sandbox's row.
use serde::Serialize;
use tern_trace::{Event, Trace, VoteOutcome};

use crate::describe::describe;
use crate::layout::Layout;
use crate::names::is_stale;

/// Something worth a mark of its own.
#[derive(Serialize)]
pub(crate) struct Mark {
    pub(crate) at: i64,
    pub(crate) kind: &'static str,
    pub(crate) text: String,
}

impl Mark {
    /// The mark of an event of core `number`, if it gets one.
    pub(super) fn of(at: i64, event: Event, number: usize, layout: &Layout) -> Option<Self> {
        let kind = marked(event)?;
        let text = describe((at, event), number, layout, "");
        Some(Self { at, kind, text })
    }

    /// Those of the remarks from outside on core `number`.
    pub(super) fn from_outside(trace: &Trace, number: usize) -> impl Iterator<Item = Self> {
        let notes = trace.notes.iter();
        let own = notes.filter(move |note| note.sandbox.map(usize::from) == Some(number));
        own.filter_map(|note| {
            let at = trace.nanos(note.tsc?);
            let (kind, text) = ("note", note.text.clone());
            Some(Self { at, kind, text })
        })
    }
}

/// The name under which an event gets a mark of its own, if it does.
const fn marked(event: Event) -> Option<&'static str> {
    Some(match event {
        Event::Vote {
            outcome: VoteOutcome::Minority,
            ..
        } => "vote: minority",
        Event::Vote {
            outcome: VoteOutcome::Timeout,
            ..
        } => "vote: timeout",
        Event::Vote {
            outcome: VoteOutcome::NoMajority,
            ..
        } => "vote: no majority",
        Event::Vote {
            outcome: VoteOutcome::Held,
            ..
        } => "vote: held",
        Event::RepairStart { .. } => "repair starts",
        Event::RepairPage { .. } => "page repaired",
        Event::RepairEnd { .. } => "repair ends",
        Event::Rejoin { .. } => "rejoins",
        Event::RollBack { .. } => "rolls back",
        Event::Fault { .. } => "fault",
        Event::Stop { .. } => "safe stop",
        Event::Withheld { .. } => "output withheld",
        Event::Input { epoch, fresh, .. } if is_stale(epoch, fresh) => "stale input",
        _ => return None,
    })
}
