//! What follows from the faults themselves and is not held against the system: accusations of
//! a replica that was hit, the jobs that it misses until it is back, the jobs of a core that
//! was held, and the outputs of a voter that was.
use super::Evidence;
use crate::fault::inject::Injected;
use std::collections::BTreeMap;
use tern_config::{ReplicaSet, ThreadRef, Voting};
use tern_trace::{Event, Trace};
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

    /// Returns whether a hold of the voter that sends accounts for an epoch without an output: the
    /// one whose vote it delayed, and the one after, in which replicas without a verdict hold
    /// what they have.
    #[must_use]
    pub fn may_withhold(&self, epoch: u64) -> bool {
        let before = epoch.checked_sub(1);
        self.voter_was_held(epoch) || before.is_some_and(|before| self.voter_was_held(before))
    }

    /// Returns whether the voter that sends was held in `epoch` between its release and when the
    /// output is due.
    fn voter_was_held(&self, epoch: u64) -> bool {
        let set = self.set();
        let release = epoch * set.period;
        let end = match set.voting {
            Voting::Arbitrator { .. } | Voting::Unprotected => set.verdict_deadline,
            // What most of them say is sent after that.
            Voting::Distributed | Voting::Lockstep { .. } => set.period,
        };
        let (begin, end) = (release + set.ballot_deadline, release + end);
        self.injected.iter().any(|(_, injected)| {
            self.held_nanos(injected)
                .is_some_and(|(from, until)| from < end && until > begin)
                && sender(self.trace, self.set, set, epoch) == Some(injected.place.sandbox)
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

/// Returns the sandbox that has the device of set `number` when the ballots of `epoch` are due:
/// where each replica's has a voter, the one that has frozen the input of the epoch after, or of the
/// last one before that any has.
fn sender(trace: &Trace, number: usize, set: &ReplicaSet, epoch: u64) -> Option<u32> {
    let mut voters = set.voters.iter().map(|voter| voter.sandbox);
    match set.voting {
        Voting::Arbitrator { .. } | Voting::Unprotected => return voters.next(),
        Voting::Lockstep { device } => return voters.nth(usize::from(device)),
        Voting::Distributed => {}
    }
    let frozen = voters.flat_map(|sandbox| {
        let core = trace.cores.get(sandbox as usize);
        let events = core.into_iter().flat_map(|core| core.events());
        events.filter_map(move |event| match event {
            Ok((_, Event::Input { set, epoch, .. })) if usize::from(set) == number => {
                Some((u64::from(epoch), sandbox))
            }
            Ok(_) | Err(_) => None,
        })
    });
    let until_then = frozen.filter(|(of, _)| *of <= epoch.saturating_add(1));
    until_then.max().map(|(_, sandbox)| sandbox)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;
    use tern_trace::{Core, HEADER_WORDS, Mode, Origin, Ring};
    use tern_units::TscFrequency;

    /// A sandbox that has frozen the inputs of these epochs.
    fn core(epochs: impl Iterator<Item = u32>) -> Core {
        let memory: Vec<_> = (0..HEADER_WORDS + 64).map(|_| AtomicU64::new(0)).collect();
        let mut ring = Ring::format(&memory, Mode::Stream).unwrap();
        for epoch in epochs {
            let (set, fresh) = (0, true);
            ring.push_event(epoch.into(), Event::Input { set, epoch, fresh });
        }
        let words: Vec<_> = memory.into_iter().map(AtomicU64::into_inner).collect();
        Core::from_words("x", &words, &[])
    }

    #[test]
    fn who_sends_is_the_voter_or_of_several_the_last_that_has_heard_the_device() {
        let trace = Trace {
            origin: Origin::Machine,
            promises: None,
            tsc: TscFrequency::from_hertz(1_000_000_000).unwrap(),
            epoch_tsc: 0,
            build: String::new(),
            system: Vec::new(),
            exit_reasons: Vec::new(),
            // The first is held in epochs 4 and 5.
            cores: vec![core(1..5), core(7..10), core(0..0)],
            notes: Vec::new(),
        };
        let voters = (0..3).map(|sandbox| ThreadRef {
            sandbox,
            ..ThreadRef::default()
        });
        let mut set = ReplicaSet {
            voting: Voting::Distributed,
            voters: voters.collect(),
            ..ReplicaSet::default()
        };
        let senders =
            |set: &ReplicaSet| Vec::from_iter((0..8).map(|epoch| sender(&trace, 0, set, epoch)));
        let (first, second) = (Some(0), Some(1));
        let several = [first, first, first, first, first, first, second, second];
        assert_eq!(senders(&set), several);
        assert_eq!(sender(&trace, 1, &set, 3), None, "another set's");

        set.voting = Voting::Arbitrator { seal: true };
        set.voters.drain(..2);
        assert_eq!(senders(&set), [Some(2); 8]);
    }
}
