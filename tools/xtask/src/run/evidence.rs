//! What a run left behind, from outside the machine and from its trace.
use super::outputs::{self, Outputs};
use crate::emulator::ExitCounts;
use crate::fault::inject::Injected;
use crate::plant::{Exchange, Reference};
use tern_abi::directory::Violation;
use tern_config::{ReplicaSet, System};
use tern_plant::frames::Outcome;
use tern_trace::{RepairResult, Trace};
use trace_viewer::names::result_name;
use trace_viewer::ranges::Ranges;
use trace_viewer::summary::{Inputs, Summary};
use trace_viewer::verdict::conformance::Conformance;

/// Everything that the verdict is about.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// What ran.
    pub system: &'a System,
    /// Index of the replica set that was watched.
    pub set: usize,
    /// Every exchange with the plant.
    pub exchanges: &'a [Exchange],
    /// The faults, each with the last epoch whose command had come before it.
    pub injected: &'a [(u64, Injected)],
    /// For each sandbox, the exits between the first and the last epoch.
    pub exits: Vec<(ExitCounts, ExitCounts)>,
    /// The sandboxes that the hypervisor stopped.
    pub violations: Vec<(String, Violation)>,
    /// Pages that differ between the replicas at the end, as (replica, page) against
    /// replica 0; `None` if they could not be compared.
    pub differing_at_end: Option<Vec<(usize, usize)>>,
    /// The trace,
    pub trace: &'a Trace,
    /// the numbers in it,
    pub summary: Summary,
    /// and what its servers did.
    pub conformance: Conformance,
}

/// When and how the vote found a replica wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detection {
    /// The epoch.
    pub epoch: u64,
    /// The replicas of the majority, one bit each.
    pub majority: u8,
    /// What gave it away.
    pub sign: Sign,
}

/// What gives a faulty replica away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// Its ballot differs from the majority's.
    Difference,
    /// Its ballot did not come in time.
    Timeout,
    /// Its kernel asks for repair: the program was stopped by a fault of its own.
    Request,
}

/// What a repair did, over all its rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// Rounds begun.
    pub rounds: u64,
    /// Pages that differed; one that a round left over is not counted again.
    pub differed: u64,
    /// Pages copied.
    pub copied: u64,
    /// Records of single pages.
    pub pages: u64,
    /// When the first round began and the last ended, in nanoseconds after the time epoch;
    /// `None` if it did not.
    pub span: Option<(i64, i64)>,
    /// Whether the last round ended with nothing left.
    pub done: bool,
    /// The epoch in which the replica took part again.
    pub rejoined: Option<u32>,
}

impl Evidence<'_> {
    /// The watched set.
    #[must_use]
    pub fn set(&self) -> &ReplicaSet {
        &self.system.replica_sets[self.set]
    }

    /// The name of a replica's sandbox.
    #[must_use]
    pub fn replica_name(&self, replica: usize) -> &str {
        let place = self.set().replicas.get(replica);
        let sandbox = place.and_then(|place| self.system.sandboxes.get(place.sandbox as usize));
        sandbox.map_or("?", |sandbox| &sandbox.name)
    }

    /// Finds the first vote after a fault in `replica`, which came after the command of `epoch`,
    /// that did not find the replica right.
    #[must_use]
    pub fn detection(&self, replica: usize, epoch: u64) -> Option<Detection> {
        let bit = 1_u8 << replica;
        let found = self.exchanges.iter().find(|exchange| {
            exchange.command.epoch > epoch && exchange.command.status.faulty & bit != 0
        })?;
        let status = found.command.status;
        let all = (1_u16 << status.replicas) - 1;
        Some(Detection {
            epoch: found.command.epoch,
            majority: all as u8 & !status.faulty,
            sign: if status.timeout & bit != 0 {
                Sign::Timeout
            } else if status.recovering & bit != 0 {
                Sign::Request
            } else {
                Sign::Difference
            },
        })
    }

    /// Counts the votes that found a replica wrong that was not hit, or before its fault.
    #[must_use]
    pub fn false_accusations(&self) -> u64 {
        let hits = self.hit_replicas();
        let wrong = |exchange: &&Exchange| {
            if self.differ(exchange) {
                return false;
            }
            let before = hits
                .iter()
                .filter(|(_, hit)| exchange.command.epoch > hit.epoch);
            let hit = before.fold(0, |mask, (replica, _)| mask | 1 << replica);
            exchange.command.status.faulty & !hit != 0
        };
        self.exchanges.iter().filter(wrong).count() as u64
    }

    /// Whether two in lock-step differ, and it is not known which of them is wrong: nobody is accused.
    fn differ(&self, exchange: &Exchange) -> bool {
        let status = &exchange.command.status;
        let is_lost = match status.outcome {
            Outcome::Lost | Outcome::Stopped => true,
            Outcome::Unanimous | Outcome::Majority | Outcome::Held | Outcome::Unprotected => false,
        };
        self.set().voting.keeps_checkpoints() && is_lost && status.faulty.count_ones() > 1
    }

    /// Counts the epochs from a fault on in which two in lock-step released nothing, and no hold of a
    /// voter accounts for that.
    #[must_use]
    pub fn given_up(&self) -> u64 {
        let hit = self.injected.iter().map(|(epoch, _)| *epoch).min();
        let (true, Some(hit)) = (self.set().voting.keeps_checkpoints(), hit) else {
            return 0;
        };
        let released = |epoch: u64| {
            let mut exchanges = self.exchanges.iter();
            exchanges.any(|it| it.command.epoch == epoch && it.command.count > 0)
        };
        let after = (hit..self.epochs()).filter(|it| !released(*it) && !self.may_withhold(*it));
        after.count() as u64
    }

    /// Returns how often the watched set's replicas have gone back to their checkpoints, and the pages
    /// that they have put back.
    #[must_use]
    pub fn rolled_back(&self) -> (u64, u64) {
        let sandboxes = self.summary.sandboxes.iter();
        sandboxes.fold((0, 0), |(times, pages), sandbox| {
            (times + sandbox.roll_backs, pages + sandbox.pages_put_back)
        })
    }

    /// The epoch from which on every vote was unanimous.
    #[must_use]
    pub fn unanimous_since(&self) -> Option<u64> {
        let tail = self.exchanges.iter().rev();
        let tail = tail.take_while(|exchange| self.is_unanimous(exchange));
        tail.last().map(|exchange| exchange.command.epoch)
    }

    /// The epochs whose votes were not.
    pub fn not_unanimous(&self) -> impl Iterator<Item = u64> {
        let others = self.exchanges.iter();
        let others = others.filter(|exchange| !self.is_unanimous(exchange));
        others.map(|exchange| exchange.command.epoch)
    }

    /// The epoch in which the set stopped for lack of a majority.
    #[must_use]
    pub fn stopped(&self) -> Option<u64> {
        let stopped = |exchange: &&Exchange| exchange.command.status.outcome == Outcome::Stopped;
        self.exchanges
            .iter()
            .find(stopped)
            .map(|exchange| exchange.command.epoch)
    }

    /// The time of the vote of `epoch`, which was not unanimous, in nanoseconds after the
    /// time epoch.
    #[must_use]
    pub fn vote_time(&self, epoch: u64) -> Option<i64> {
        let votes = self.summary.votes.iter();
        let mut votes = votes.filter(|votes| votes.set == self.set().name);
        let mut disagreements = votes.next()?.disagreements.iter();
        let vote = disagreements.find(|vote| u64::from(vote.epoch) == epoch)?;
        Some(vote.at_ns)
    }

    /// Sums all repairs of a replica up.
    #[must_use]
    pub fn repair(&self, replica: usize) -> Repair {
        let mut all = Repair::default();
        let (set, sandbox) = (&self.set().name, self.replica_name(replica));
        let repairs = self.summary.repairs.iter();
        for repair in repairs.filter(|it| it.set == *set && it.sandbox == sandbox) {
            all.done = repair.result == result_name(RepairResult::Done);
            all.rounds += repair.rounds;
            all.copied += repair.copied;
            all.pages += repair.pages.len() as u64;
            // What a repair that failed leaves over is among the next one's pages.
            all.differed += match all.done {
                true => repair.differing,
                false => repair.differing.min(repair.copied),
            };
            let (start, _) = all.span.unwrap_or((repair.started_ns, 0));
            all.span = repair.ended_ns.map(|end| (start, end));
            all.rejoined = repair.rejoined_epoch.or(all.rejoined);
        }
        all
    }

    /// The watched set's inputs.
    pub fn inputs(&self) -> impl Iterator<Item = &Inputs> {
        let inputs = self.summary.inputs.iter();
        inputs.filter(|inputs| inputs.set == self.set().name)
    }

    /// Returns how many epochs the run had, up to the last command.
    #[must_use]
    pub fn epochs(&self) -> u64 {
        let last = self.exchanges.last();
        last.map_or(0, |last| last.command.epoch + 1)
    }

    /// Outputs that were released, and taken by the plant.
    #[must_use]
    pub fn released(&self) -> u64 {
        let released = |exchange: &&Exchange| exchange.accepted;
        self.exchanges.iter().filter(released).count() as u64
    }

    /// Counts the first outputs, which were computed before there was a sample to answer: those
    /// that were not forged.
    #[must_use]
    pub fn unasked(&self) -> u64 {
        let exchanges = self.exchanges.iter();
        exchanges
            .filter(|it| self.answers_nothing(it) && !self.was_forged(it.command.epoch))
            .count() as u64
    }

    /// Whether a command came too early to answer a sample; of two in lock-step, which first agree on
    /// what they begin with, the first has no output at all.
    fn answers_nothing(&self, exchange: &Exchange) -> bool {
        let is_first = self.set().voting.keeps_checkpoints() && exchange.command.epoch == 0;
        is_first || exchange.answers_nothing()
    }

    /// Whether all replicas agreed, and the plant took their output if it answered anything.
    fn is_unanimous(&self, exchange: &Exchange) -> bool {
        let is_taken = exchange.accepted || self.answers_nothing(exchange);
        exchange.command.status.faulty == 0 && is_taken
    }

    /// Compares every released output with the reference, which gets the same inputs:
    /// sample E − 1 in epoch E wherever the trace says that it came in time. It does those
    /// jobs alone that the agreed states have seen, those too whose command was lost on the line. `None` of a program other than the
    /// pendulum's controller, and of its inputs from another plant.
    #[must_use]
    pub fn outputs(&self) -> Option<Outputs> {
        let known = self.exchanges.iter().all(|it| it.motion.is_some());
        if self.set().program != Reference::PROGRAM || !known {
            return None;
        }
        let stale: Vec<&Ranges> = self.inputs().map(|inputs| &inputs.stale_epochs).collect();
        let is_stale = |epoch: u64| {
            let epoch = u32::try_from(epoch).unwrap_or(u32::MAX);
            stale.iter().any(|epochs| epochs.contains(epoch))
        };
        let votes = self.summary.votes.iter();
        let ran: Vec<&Ranges> = votes
            .filter(|votes| votes.set == self.set().name)
            .map(|votes| &votes.ran_epochs)
            .collect();
        let has_run = |epoch: u64| {
            let epoch = u32::try_from(epoch).unwrap_or(u32::MAX);
            ran.iter().any(|epochs| epochs.contains(epoch))
        };
        Some(outputs::compare(self.exchanges, is_stale, has_run))
    }
}
