//! Which thread of a core runs and which sleep, replayed from its records: what both the
//! question whether a trace is sound and that whether servers kept their rules need to know.
use tern_config::Runs;
use tern_trace::{Event, Origin, SleepEnd, Trace};
use tern_units::Instant;

use crate::layout::CoreLayout;

/// A thread goes to sleep by a clock that was read a little before its record: the instant that
/// it sleeps until is looked for from this long before the record on.
const READ_BEFORE_NS: i64 = 10_000_000_000;

/// Whether a thread wants the core. Times are nanoseconds after the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It wants it.
    Ready,
    /// It does from that instant on.
    Sleeping(i64),
    /// It does when it is woken, or (where the simulator writes) released.
    Waiting,
}

/// The threads of a core.
#[derive(Clone, Debug)]
pub(crate) struct Threads {
    states: Vec<State>,
    /// For each thread, how many of its jobs have been released.
    released: Vec<u32>,
    running: Option<u16>,
    origin: Origin,
}

impl Threads {
    /// The threads before the first record. A kernel lets each sleep until its first release,
    /// drivers run from the epoch on; in a simulation every release is one of its own.
    pub(crate) fn new(layout: &CoreLayout, origin: Origin) -> Self {
        let first = |runs: &Runs, offset: u64| match (origin, runs) {
            (Origin::Simulator, _) | (Origin::Machine, Runs::Nothing) => State::Waiting,
            (Origin::Machine, Runs::Driver(_)) => State::Ready,
            (Origin::Machine, Runs::Program { .. } | Runs::Replica(_) | Runs::Voter(_)) => {
                State::Sleeping(Trace::within_horizon(offset))
            }
        };
        let threads = layout.threads.iter();
        Self {
            states: threads.map(|it| first(&it.runs, it.offset)).collect(),
            released: vec![0; layout.threads.len()],
            running: None,
            origin,
        }
    }

    /// The thread that has the core.
    pub(crate) const fn running(&self) -> Option<u16> {
        self.running
    }

    /// What a thread was doing at its last record.
    pub(crate) fn state(&self, thread: u16) -> Option<State> {
        self.states.get(usize::from(thread)).copied()
    }

    /// How many of a thread's jobs have been released.
    pub(crate) fn released(&self, thread: u16) -> u32 {
        self.released.get(usize::from(thread)).copied().unwrap_or(0)
    }

    /// Whether a thread wants the core at `at`: it does not sleep, or no longer.
    pub(crate) fn wants(&self, thread: u16, at: i64) -> bool {
        match self.state(thread) {
            Some(State::Ready) => true,
            Some(State::Sleeping(until)) => until <= at,
            Some(State::Waiting) | None => false,
        }
    }

    /// The instant at which the first of these threads woke that slept, by `at`.
    pub(crate) fn first_woken(&self, threads: std::ops::Range<usize>, at: i64) -> Option<i64> {
        let asleep = self.states.get(threads)?.iter();
        let woken = asleep.filter_map(|state| match state {
            State::Sleeping(until) if *until <= at => Some(*until),
            State::Sleeping(_) | State::Ready | State::Waiting => None,
        });
        woken.min()
    }

    /// Whether a release makes a thread that waits want the core: in a simulation it does.
    pub(crate) const fn release_wakes(&self) -> bool {
        matches!(self.origin, Origin::Simulator)
    }

    /// Takes in a record at `at`, which is known to be possible.
    pub(crate) fn apply(&mut self, at: i64, event: Event, layout: &CoreLayout) {
        match event {
            Event::Release { thread, .. } => {
                let waits = self.state(thread) == Some(State::Waiting);
                if !waits || self.release_wakes() {
                    self.set(thread, State::Ready);
                }
                if let Some(released) = self.released.get_mut(usize::from(thread)) {
                    *released = released.wrapping_add(1);
                }
            }
            // One that sleeps or runs finds it when it next waits.
            Event::Wake { thread, until } if self.state(thread) == Some(State::Waiting) => {
                let from = until.map(|until| self.sleep_end(thread, at, until, layout));
                self.set(thread, from.map_or(State::Ready, State::Sleeping));
            }
            Event::Wake { .. } => {}
            Event::Switch { thread } => {
                if let Some(thread) = thread {
                    self.set(thread, State::Ready);
                }
                self.running = thread;
            }
            Event::Block {
                thread,
                until: None,
            } => self.set(thread, State::Waiting),
            Event::Block {
                thread,
                until: Some(until),
            } => {
                let until = self.sleep_end(thread, at, until, layout);
                self.set(thread, State::Sleeping(until));
            }
            Event::Complete { .. }
            | Event::Miss { .. }
            | Event::Exhaust { .. }
            | Event::ReplenishPosted { .. }
            | Event::ReplenishApplied { .. }
            | Event::InterruptIn { .. }
            | Event::InterruptOut { .. }
            | Event::SystemCall { .. }
            | Event::Hypercall { .. }
            | Event::Exit { .. }
            | Event::Hash { .. }
            | Event::Ballot { .. }
            | Event::Vote { .. }
            | Event::RepairStart { .. }
            | Event::RepairPage { .. }
            | Event::RepairEnd { .. }
            | Event::Scrub { .. }
            | Event::Input { .. }
            | Event::Fault { .. }
            | Event::ClockSync { .. }
            | Event::Process { .. }
            | Event::Rejoin { .. }
            | Event::Stop { .. }
            | Event::Checkpoint { .. }
            | Event::RollBack { .. }
            | Event::Withheld { .. }
            | Event::Lost { .. }
            | Event::PageGiven { .. }
            | Event::PageConfirmed { .. }
            | Event::Noise { .. }
            | Event::NoDevice { .. } => {}
        }
    }

    /// The instant that a sleep ends at. A record has its lowest bits, which come again after
    /// nine minutes: a thread that sleeps until its next release may sleep longer.
    fn sleep_end(&self, thread: u16, at: i64, until: SleepEnd, layout: &CoreLayout) -> i64 {
        let known = layout.threads.get(usize::from(thread));
        let nominal = known.and_then(|known| known.nominal());
        let release = nominal.map(|nominal| nominal.release(self.released(thread)));
        let is_release = |release: &i64| {
            *release >= at && SleepEnd::of(Instant::from_nanos(release.unsigned_abs())) == until
        };
        let from = at.saturating_sub(READ_BEFORE_NS).max(0).unsigned_abs();
        let nearest = until.not_before(Instant::from_nanos(from));
        release
            .filter(is_release)
            .unwrap_or(Trace::within_horizon(nearest.as_nanos()))
    }

    fn set(&mut self, thread: u16, state: State) {
        if let Some(place) = self.states.get_mut(usize::from(thread)) {
            *place = state;
        }
    }
}
