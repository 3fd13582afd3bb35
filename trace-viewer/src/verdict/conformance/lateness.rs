//! How late a timer may fire on the machine of a trace: the one thing that a server does not
//! answer for.
use tern_trace::{Origin, Trace};

/// The lateness of one core's timer. Times are nanoseconds.
#[derive(Clone, Debug)]
pub(super) struct Lateness {
    /// At most, where that is known.
    pub(super) most: Option<i64>,
    /// From when to when the core was held from outside, and executed nothing.
    held: Vec<(i64, i64)>,
}

impl Lateness {
    /// That of a sandbox's core.
    pub(super) fn of(trace: &Trace, core: usize) -> Self {
        let own = |sandbox: Option<u16>| sandbox.map(usize::from) == Some(core);
        let notes = trace.notes.iter().filter(|note| own(note.sandbox));
        let held = notes.filter_map(|note| note.fault.as_ref()?.held);
        Self {
            most: most(trace),
            held: held
                .map(|(from, until)| (trace.nanos(from), trace.nanos(until)))
                .collect(),
        }
    }

    /// How long a server may have run on by `at`, which did for `beyond`.
    pub(super) fn allowed(&self, at: i64, beyond: i64) -> Option<i64> {
        let begun = at.saturating_sub(beyond);
        let meanwhile = |(from, until): &(i64, i64)| (at.min(*until) - begun.max(*from)).max(0);
        let held: i64 = self.held.iter().map(meanwhile).sum();
        Some(self.most?.saturating_add(held))
    }
}

/// Not at all in a simulation. On a machine by the longest section with interrupts off, the way
/// into the handler, and a tick of the counter that the timer is set by; not known where the
/// trace carries no costs.
pub(super) fn most(trace: &Trace) -> Option<i64> {
    match trace.origin {
        Origin::Simulator => Some(0),
        Origin::Machine => {
            let promises = trace.promises.as_ref()?;
            let section = promises.cost("longest_non_preemptible")?;
            let entry = promises.cost("timer_interrupt")?;
            let tick = trace.tsc.to_duration(1).as_nanos() + 1;
            let late = section.as_nanos().saturating_add(entry.as_nanos());
            Some(Trace::within_horizon(late.saturating_add(tick)))
        }
    }
}
