//! What wakes a server, and the room that its list of replenishments needs for that.
use tern_config::layout::REPAIR_LOOKS;
use tern_config::{Runs, Server, System, Thread, Voting};
use tern_sched::ServerKind;
use tern_sched::analysis::{Room, Waking, activations};
use tern_units::Duration;

/// Looks of a replica in any time of an epoch's length, at most, that the clock of the description
/// does not give: for a late voter before its job, and for other replicas in a repair.
///
/// Of either kind there are [`REPAIR_LOOKS`] in an epoch at most, within a span of it, and no two
/// closer than a sixth of the span. A time of an epoch's length that begins in the span holds its
/// end, and its beginning in the next epoch: together one span. There is one look more in it where
/// the last of the one and the first of the other are closer to each other.
const LOOKS: u64 = 2 * (REPAIR_LOOKS + 1);

/// Room up to this is given without a search for less: it is enough whatever the jobs of threads
/// do that only the clock wakes.
const LITTLE: u32 = 64;

/// What wakes a server.
#[derive(Clone, Debug)]
pub(crate) struct Wakings {
    all: Vec<Waking>,
    /// The period of the server.
    period: Duration,
    /// Whether it has no threads, and stands for one that asks for all of its budget at once.
    is_stand_in: bool,
    /// Whether it has budget whenever it has work, by a bound that is not on its threads: that
    /// on repairs, for a replica alone in its server.
    never_waits: bool,
}

impl Wakings {
    pub(crate) fn of(system: &System, server: &Server) -> Self {
        let never_waits = match server.threads.as_slice() {
            [thread] => matches!(thread.runs, Runs::Replica(_)),
            _ => false,
        };
        Self {
            all: wakings(system, server),
            period: Duration::from_nanos(server.period),
            is_stand_in: server.threads.is_empty(),
            never_waits,
        }
    }

    /// How often the server may become active in a period. `periods` as in [`Wakings::room`].
    pub(crate) fn activations(
        &self,
        kind: ServerKind,
        periods: impl FnOnce(&[Waking]) -> Option<u64>,
    ) -> u32 {
        match self.is_stand_in {
            true => 1,
            false => {
                let pieces = || self.room(periods).replenishments;
                activations(kind, self.period, &self.all, pieces)
            }
        }
    }

    /// The room that the server needs. `periods` tells for how many periods it hands on budget at
    /// most, which is not asked where little is enough anyway.
    pub(crate) fn room(&self, periods: impl FnOnce(&[Waking]) -> Option<u64>) -> Room {
        let always = Room::new(&self.all, self.period, None);
        if always.is_enough && always.replenishments <= LITTLE {
            return always;
        }
        let periods = match self.never_waits {
            true => Some(1),
            false => periods(&self.all),
        };
        Room::new(&self.all, self.period, periods)
    }
}

/// What wakes the threads of a server. One without threads is simulated as if one thread used
/// all of the budget in each period: in one piece, however late it is released.
fn wakings(system: &System, server: &Server) -> Vec<Waking> {
    let nanos = Duration::from_nanos;
    let (budget, period) = (nanos(server.budget), nanos(server.period));
    if server.threads.is_empty() {
        return vec![Waking::by_clock(budget, period, period)];
    }
    let threads = server.threads.iter();
    let all = threads.flat_map(|it| of_thread(system, server, it));
    match server.jitter {
        0 => all.collect(),
        jitter => all.map(|it| late(it, nanos(jitter))).collect(),
    }
}

/// Returns a waking of which each arrival may be released later by up to `jitter`, so that its
/// instants do not repeat.
fn late(waking: Waking, jitter: Duration) -> Waking {
    Waking {
        jitter: waking.jitter.saturating_add(jitter),
        instants: None,
        ..waking
    }
}

fn of_thread(system: &System, server: &Server, thread: &Thread) -> Vec<Waking> {
    let nanos = Duration::from_nanos;
    let (wcet, period) = (nanos(thread.wcet), nanos(thread.period));
    let by_clock = |work| Waking::by_clock(work, period, nanos(server.period));
    match thread.runs {
        Runs::Nothing if !thread.jobs.is_empty() => vec![of_jobs(server, thread)],
        Runs::Nothing | Runs::Program { .. } => vec![by_clock(wcet)],
        Runs::Voter(set) => match voting(system, set) {
            Some(Voting::Arbitrator { .. } | Voting::Unprotected) | None => vec![by_clock(wcet)],
            // When ballots are due and when verdicts are, and at looks for its device between
            // that and the next release.
            Some(Voting::Distributed | Voting::Lockstep { .. }) => vec![
                by_clock(wcet),
                by_clock(Duration::ZERO),
                Waking {
                    wakes: REPAIR_LOOKS + 1,
                    ..Waking::at_any_time(Duration::ZERO, period)
                },
            ],
        },
        // By interrupts and requests, no closer than its period.
        Runs::Driver(_) => vec![Waking::at_any_time(wcet, period)],
        // At the release and at the verdict, and at looks anywhere in the epoch. A repair takes
        // what is left of the budget, twice in two epochs at most.
        Runs::Replica(set) => {
            let repair = nanos(server.budget.saturating_sub(thread.wcet));
            // A checkpoint is kept in every epoch.
            let keeps = voting(system, set).is_some_and(Voting::keeps_checkpoints);
            let apart = if keeps { 1 } else { 2 };
            vec![
                by_clock(wcet),
                by_clock(Duration::ZERO),
                Waking {
                    wakes: 0,
                    jitter: period,
                    ..Waking::at_any_time(repair, period.saturating_mul(apart))
                },
                Waking {
                    wakes: LOOKS,
                    ..Waking::at_any_time(Duration::ZERO, period)
                },
            ]
        }
    }
}

/// Jobs at explicit times.
fn of_jobs(server: &Server, thread: &Thread) -> Waking {
    let work = thread.jobs.iter().map(|job| job.work).max().unwrap_or(0);
    let mut instants: Vec<u64> = thread
        .jobs
        .iter()
        .map(|job| job.at % server.period.max(1))
        .collect();
    instants.sort_unstable();
    instants.dedup();
    let distances = thread.jobs.windows(2).map(|pair| pair[1].at - pair[0].at);
    let shortest = distances.filter(|it| *it > 0).min();
    let period = Duration::from_nanos(shortest.unwrap_or(thread.period).max(1));
    Waking {
        instants: Some(instants.len() as u64),
        ..Waking::at_any_time(Duration::from_nanos(work), period)
    }
}

/// Who votes in a set.
pub(crate) fn voting(system: &System, set: u32) -> Option<Voting> {
    system.replica_sets.get(set as usize).map(|set| set.voting)
}
