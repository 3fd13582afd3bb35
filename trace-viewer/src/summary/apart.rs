//! Which jobs are counted apart because of faults that were injected from outside: what follows
//! from the fault itself is not held against the system. A replica that was hit is expected to
//! be outvoted and repaired, not to be in time; a core that was held does nothing meanwhile.
use std::collections::BTreeMap;

use tern_config::{System, ThreadRef};
use tern_trace::InjectedFault;

use super::votes::Vote;
use crate::layout::{Layout, ThreadLayout};
use crate::read::SoundTrace;

/// What is counted apart in a whole run.
#[derive(Clone, Debug, Default)]
pub(super) struct Apart {
    out: Vec<Out>,
    held: Vec<Held>,
}

/// Epochs that a replica is out of its set for: from a fault, up to its return.
#[derive(Clone, Copy, Debug)]
struct Out {
    core: usize,
    thread: u16,
    first: u32,
    back: u32,
}

/// A time that a core executed nothing for, in nanoseconds after the epoch.
#[derive(Clone, Copy, Debug)]
struct Held {
    core: usize,
    from: i64,
    until: i64,
}

/// The jobs of one thread that are counted apart, by number: from the first on and before the
/// second.
#[derive(Clone, Debug, Default)]
pub(super) struct ApartJobs {
    pub(super) out: Vec<(u32, u32)>,
    pub(super) held: Vec<(u32, u32)>,
}

impl ApartJobs {
    pub(super) fn contains(&self, job: u32) -> bool {
        let mut all = self.out.iter().chain(&self.held);
        all.any(|(first, end)| (*first..*end).contains(&job))
    }
}

impl Apart {
    /// What follows from the faults that the trace's remarks tell of. `rejoined` has for each
    /// core the sets that their replica there took part in again, and from which epoch on.
    pub(super) fn of(
        trace: &SoundTrace<'_>,
        votes: &BTreeMap<u16, BTreeMap<u32, Vote>>,
        rejoined: &[&[(u16, u32)]],
    ) -> Self {
        let mut apart = Self::default();
        let Some(system) = &trace.layout().system else {
            return apart;
        };
        for note in &trace.trace().notes {
            let (Some(fault), Some(core)) = (&note.fault, note.sandbox) else {
                continue;
            };
            let core = usize::from(core);
            if let Some((from, until)) = fault.held {
                let [from, until] = [from, until].map(|tsc| trace.trace().nanos(tsc));
                apart.held.push(Held { core, from, until });
            }
            for (set, replica, thread) in hit(system, trace.layout(), core, fault) {
                let votes = votes.get(&set);
                let rejoined = rejoined.get(core).copied().unwrap_or_default();
                let out = outage(votes, rejoined, set, replica, fault.epoch);
                apart.out.extend(out.map(|(first, back)| Out {
                    core,
                    thread,
                    first,
                    back,
                }));
            }
        }
        apart
    }

    /// The jobs of a thread that are counted apart, and whose others' releases were these.
    pub(super) fn jobs(
        &self,
        core: usize,
        number: u16,
        known: Option<&ThreadLayout>,
        releases: impl Iterator<Item = (u32, i64)> + Clone,
    ) -> ApartJobs {
        let own = |out: &&Out| (out.core, out.thread) == (core, number);
        let out = self.out.iter().filter(own);
        let held = self.held.iter().filter(|held| held.core == core);
        let jobs = held.filter_map(|held| {
            let known = known?;
            let before = held.from.saturating_sub_unsigned(known.deadline);
            // Until a period later its servers make good what they could not do.
            let after = held.until.saturating_add_unsigned(known.period);
            if let Some(nominal) = known.nominal() {
                return Some((nominal.number_at(before), nominal.number_at(after) + 1));
            }
            let mut under_way = releases
                .clone()
                .filter(|(_, at)| (before..=after).contains(at));
            let (first, _) = under_way.next()?;
            let (last, _) = under_way.last().unwrap_or((first, 0));
            Some((first, last.saturating_add(1)))
        });
        ApartJobs {
            out: out.map(|out| (out.first, out.back)).collect(),
            held: jobs.collect(),
        }
    }
}

/// The replicas that a fault hits, by set, number and thread: the one of its thread; a core that
/// is held takes all of its replicas with it.
fn hit(
    system: &System,
    layout: &Layout,
    core: usize,
    fault: &InjectedFault,
) -> Vec<(u16, u16, u16)> {
    let thread_of = |place: &ThreadRef| {
        let servers = &layout.cores.get(place.sandbox as usize)?.servers;
        let first = servers.get(place.server as usize)?.threads.start;
        Some((first + place.thread as usize) as u16)
    };
    let mut hit = Vec::new();
    for (set, described) in (0..).zip(&system.replica_sets) {
        for (replica, place) in (0..).zip(&described.replicas) {
            let Some(thread) = thread_of(place).filter(|_| place.sandbox as usize == core) else {
                continue;
            };
            if thread == fault.thread || fault.held.is_some() {
                hit.push((set, replica, thread));
            }
        }
    }
    hit
}

/// The epochs that a replica is out for, from the first that its fault may show in, if any vote
/// from then on found it wrong.
fn outage(
    votes: Option<&BTreeMap<u32, Vote>>,
    rejoined: &[(u16, u32)],
    set: u16,
    replica: u16,
    first: u32,
) -> Option<(u32, u32)> {
    let accused = |vote: &Vote| {
        let faulty = vote.parties.faulty;
        faulty.checked_shr(replica.into()).unwrap_or(0) & 1 == 1
    };
    votes?.range(first..).find(|(_, vote)| accused(vote))?;
    let mut back = rejoined
        .iter()
        .filter(|(of, epoch)| *of == set && *epoch > first);
    Some((first, back.next().map_or(u32::MAX, |(_, epoch)| *epoch)))
}
