//! What follows from the faults themselves and is not held against the system: accusations of
//! a replica that was hit, the jobs that it misses until it is back, the jobs of a core that
//! was held, and the outputs of a voter that was.
use super::Evidence;
use crate::fault::inject::Injected;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use tern_config::ThreadRef;
use tern_trace::Event;
use tern_units::Duration;

/// A replica that was hit.
#[derive(Clone, Copy, Debug)]
pub struct Hit<'a> {
    /// The last epoch whose command had come before.
    pub epoch: u64,
    /// Its first fault.
    pub fault: &'a Injected,
}

/// Deadlines that were missed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Misses {
    /// By server, named `sandbox/server`, servers without any included: those that no fault
    /// accounts for.
    pub unexplained: BTreeMap<String, u64>,
    /// Those of hit replicas until they were back.
    pub while_out: u64,
    /// Those of cores that were held.
    pub while_held: u64,
}

impl Evidence<'_> {
    /// Returns the number of the replica that a fault hit: a core that is held takes its replica
    /// with it.
    #[must_use]
    pub fn hit_replica(&self, injected: &Injected) -> Option<usize> {
        let mut replicas = self.set().replicas.iter();
        replicas.position(|place| match injected.held {
            Some(_) => place.sandbox == injected.place.sandbox,
            None => *place == injected.place,
        })
    }

    /// Returns the replicas that were hit, each with its first fault.
    #[must_use]
    pub fn hit_replicas(&self) -> BTreeMap<usize, Hit<'_>> {
        let mut hits = BTreeMap::new();
        for (epoch, fault) in self.injected {
            if let Some(replica) = self.hit_replica(fault) {
                let epoch = *epoch;
                hits.entry(replica).or_insert(Hit { epoch, fault });
            }
        }
        hits
    }

    /// Returns when the hold of a core began and ended, in nanoseconds after the time epoch.
    fn held_nanos(&self, injected: &Injected) -> Option<(u64, u64)> {
        let held = injected.held.as_ref()?;
        let nanos = |tsc| u64::try_from(self.trace.nanos(tsc)).unwrap_or(0);
        Some((nanos(held.from), nanos(held.until)))
    }

    /// Returns whether the set's voter was held in `epoch` between its release and its deadline:
    /// then that epoch may be without an output.
    #[must_use]
    pub fn voter_was_held(&self, epoch: u64) -> bool {
        let set = self.set();
        let Some(voter) = set.voter else {
            return false;
        };
        let release = epoch * set.period;
        let (begin, end) = (
            release + set.ballot_deadline,
            release + set.verdict_deadline,
        );
        self.injected.iter().any(|(_, injected)| {
            injected.place.sandbox == voter.sandbox
                && self
                    .held_nanos(injected)
                    .is_some_and(|(from, until)| from < end && until > begin)
        })
    }

    /// Counts the epochs without an output that a held voter accounts for.
    #[must_use]
    pub fn withheld(&self) -> u64 {
        let released = |epoch| {
            let mut exchanges = self.exchanges.iter();
            exchanges.any(|it| it.command.epoch == epoch && it.command.count > 0)
        };
        let held = (0..self.epochs()).filter(|epoch| self.voter_was_held(*epoch));
        held.filter(|epoch| !released(*epoch)).count() as u64
    }

    /// Returns how long after its release the job was complete whose release a hold delayed;
    /// `None` if it never was.
    #[must_use]
    pub fn held_response(&self, injected: &Injected) -> Option<Duration> {
        let held = injected.held.as_ref()?;
        let place = &injected.place;
        let number = self.thread_number(place)?;
        let thread = self.system.thread(place)?;
        let core = self.trace.cores.get(place.sandbox as usize)?;
        let (tsc, _) = core.events().filter_map(Result::ok).find(|(_, event)| {
            matches!(event, Event::Complete { thread, job }
                if u32::from(*thread) == number && u64::from(*job) == held.job)
        })?;
        let release = thread.offset + held.job * thread.period;
        let complete = u64::try_from(self.trace.nanos(tsc)).ok()?;
        Some(Duration::from_nanos(complete.saturating_sub(release)))
    }

    /// Counts the deadlines that were missed, by what accounts for them.
    #[must_use]
    pub fn misses(&self) -> Misses {
        let mut misses = Misses::default();
        for sandbox in &self.summary.sandboxes {
            let servers = sandbox.servers.iter().map(|server| &server.server);
            let all = servers.map(|server| (format!("{}/{server}", sandbox.sandbox), 0));
            misses.unexplained.extend(all);
        }
        let (out, held) = (self.jobs_while_out(), self.jobs_while_held());
        for (sandbox, summary) in (0..).zip(&self.summary.sandboxes) {
            for (number, thread) in (0..).zip(&summary.threads) {
                let place = (sandbox, number);
                let missed = |jobs: &RangeInclusive<u32>| {
                    let (first, last) = (*jobs.start(), *jobs.end());
                    thread.missed_jobs.count_within(first, last)
                };
                let (out, held) = (out.get(&place), held.get(&place));
                let while_out = out.map_or(0, missed);
                // A job for which both account counts once.
                let both = out.zip(held).map_or(0, |(out, held)| {
                    missed(&(*out.start().max(held.start())..=*out.end().min(held.end())))
                });
                let while_held = held.map_or(0, missed) - both;
                misses.while_out += while_out;
                misses.while_held += while_held;
                let server = format!("{}/{}", summary.sandbox, thread.server);
                *misses.unexplained.entry(server).or_default() +=
                    thread.misses - while_out - while_held;
            }
        }
        misses
    }

    /// Returns the jobs of each hit replica from its fault to its return, by sandbox and thread.
    /// A replica's jobs are numbered as the epochs.
    fn jobs_while_out(&self) -> BTreeMap<(u32, u32), RangeInclusive<u32>> {
        let hits = self.hit_replicas().into_iter();
        let jobs = hits.filter_map(|(replica, hit)| {
            let place = self.set().replicas.get(replica)?;
            let first = u32::try_from(hit.epoch + 1).unwrap_or(u32::MAX);
            let back = self.repair(replica).rejoined.unwrap_or(u32::MAX);
            let jobs = first..=back.saturating_sub(1);
            Some(((place.sandbox, self.thread_number(place)?), jobs))
        });
        jobs.collect()
    }

    /// Returns, by sandbox and thread, the jobs that were under way while their core was held, or
    /// were released within a period of their thread after that: until then its servers make
    /// good what they could not do.
    fn jobs_while_held(&self) -> BTreeMap<(u32, u32), RangeInclusive<u32>> {
        let mut jobs = BTreeMap::new();
        for (_, injected) in self.injected {
            let Some((from, until)) = self.held_nanos(injected) else {
                continue;
            };
            let number = injected.place.sandbox;
            let sandbox = &self.system.sandboxes[number as usize];
            for (thread, (_, _, described)) in (0..).zip(sandbox.threads()) {
                if described.period == 0 {
                    continue;
                }
                let job = |at: u64| {
                    let job = at.saturating_sub(described.offset) / described.period;
                    u32::try_from(job).unwrap_or(u32::MAX)
                };
                let first = job(from.saturating_sub(described.deadline));
                let last = job(until.saturating_add(described.period));
                let all = jobs.entry((number, thread)).or_insert(first..=last);
                *all = first.min(*all.start())..=last.max(*all.end());
            }
        }
        jobs
    }

    fn thread_number(&self, place: &ThreadRef) -> Option<u32> {
        let sandbox = self.system.sandboxes.get(place.sandbox as usize)?;
        sandbox.thread_number(place.server, place.thread)
    }
}
