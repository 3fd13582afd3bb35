//! What follows from the faults themselves and is not held against the system: accusations of
//! a replica that was hit, the jobs that it misses until it is back, the jobs of a core that
//! was held, and the outputs of a voter that was.
use super::Evidence;
use crate::fault::inject::Injected;
use std::collections::BTreeMap;
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

    /// Returns whether a hold of the set's voter accounts for an epoch without an output: the
    /// one whose vote it delayed, and the one after, in which replicas without a verdict hold
    /// what they have.
    #[must_use]
    pub fn may_withhold(&self, epoch: u64) -> bool {
        let before = epoch.checked_sub(1);
        self.voter_was_held(epoch) || before.is_some_and(|before| self.voter_was_held(before))
    }

    /// Returns whether the set's voter was held in `epoch` between its release and its deadline.
    fn voter_was_held(&self, epoch: u64) -> bool {
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

    /// Returns whether the command of an epoch was forged.
    #[must_use]
    pub fn was_forged(&self, epoch: u64) -> bool {
        let mut injected = self.injected.iter();
        injected.any(|(_, injected)| injected.forged.contains(&epoch))
    }

    /// Counts the commands that were forged, and those of them that the plant took.
    #[must_use]
    pub fn forged(&self) -> (u64, u64) {
        let exchanges = self.exchanges.iter();
        let forged = exchanges.filter(|exchange| self.was_forged(exchange.command.epoch));
        forged.fold((0, 0), |(sent, taken), exchange| {
            (sent + 1, taken + u64::from(exchange.accepted))
        })
    }

    /// Counts the epochs without an output that a held voter accounts for.
    #[must_use]
    pub fn withheld(&self) -> u64 {
        let released = |epoch| {
            let mut exchanges = self.exchanges.iter();
            exchanges.any(|it| it.command.epoch == epoch && it.command.count > 0)
        };
        let held = (0..self.epochs()).filter(|epoch| self.may_withhold(*epoch));
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
        for (sandbox, thread) in self.summary.threads() {
            let server = format!("{}/{}", sandbox.sandbox, thread.server);
            *misses.unexplained.entry(server).or_default() += thread.misses;
            misses.while_out += thread.misses_while_out;
            misses.while_held += thread.misses_while_held;
        }
        misses
    }

    fn thread_number(&self, place: &ThreadRef) -> Option<u32> {
        let sandbox = self.system.sandboxes.get(place.sandbox as usize)?;
        sandbox.thread_number(place.server, place.thread)
    }
}
