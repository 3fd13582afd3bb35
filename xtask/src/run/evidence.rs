//! What a run left behind, from outside the machine and from its trace.
use crate::emulator::ExitCounts;
use crate::fault::Injected;
use crate::plant::{Exchange, Reference};
use std::collections::BTreeMap;
use tern_abi::directory::Violation;
use tern_abi::plant::Outcome;
use tern_config::{ReplicaSet, System};
use tern_pendulum::{Input, command};
use tern_trace::{Event, RepairResult, Trace};

/// Everything that the verdict is about.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// What ran.
    pub system: &'a System,
    /// Index of the replica set that was watched.
    pub set: usize,
    /// Every exchange with the plant.
    pub exchanges: &'a [Exchange],
    /// The fault, and the last epoch whose command had come before it.
    pub injected: Option<&'a (u64, Injected)>,
    /// For each sandbox, the exits between the first and the last epoch.
    pub exits: Vec<(ExitCounts, ExitCounts)>,
    /// The sandboxes that the hypervisor stopped.
    pub violations: Vec<(String, Violation)>,
    /// Pages that differ between the replicas at the end, as (replica, page) against
    /// replica 0; `None` if they could not be compared.
    pub differing_at_end: Option<Vec<(usize, usize)>>,
    /// The trace.
    pub trace: &'a Trace,
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
    pub rounds: u32,
    /// Pages that differed; one that a round left over is not counted again.
    pub differed: u64,
    /// Pages copied.
    pub copied: u64,
    /// Records of single pages.
    pub pages: u64,
    /// When the first round began and the last ended, by the timestamp counter.
    pub span: Option<(u64, u64)>,
    /// Whether the last round ended with nothing left.
    pub done: bool,
    /// The epoch in which the replica took part again.
    pub rejoined: Option<u32>,
}

/// How the released outputs compare with what the controller should have computed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outputs {
    /// Outputs released.
    pub released: u64,
    /// Those that differ from the reference in any bit.
    pub wrong: u64,
    /// The epoch of the first of those.
    pub first: Option<u64>,
    /// Those whose force is wrong, not only the check over the controller's memory.
    pub wrong_forces: u64,
    /// The worst of those: epoch, force released, force expected.
    pub worst: Option<(u64, f64, f64)>,
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

    /// The first vote after the fault that did not find the replica right.
    #[must_use]
    pub fn detection(&self) -> Option<Detection> {
        let (epoch, injected) = self.injected?;
        let bit = 1_u8 << injected.replica;
        let found = self.exchanges.iter().find(|exchange| {
            exchange.command.epoch > *epoch && exchange.command.status.faulty & bit != 0
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

    /// Votes that found a replica wrong that was not hit, or any before the fault.
    #[must_use]
    pub fn false_accusations(&self) -> u64 {
        let wrong = |exchange: &&Exchange| {
            let hit = match self.injected {
                Some((epoch, injected)) if exchange.command.epoch > *epoch => 1 << injected.replica,
                _ => 0,
            };
            exchange.command.status.faulty & !hit != 0
        };
        self.exchanges.iter().filter(wrong).count() as u64
    }

    /// The epoch from which on every vote was unanimous.
    #[must_use]
    pub fn unanimous_since(&self) -> Option<u64> {
        let unanimous = |exchange: &&Exchange| {
            exchange.command.status.faulty == 0 && exchange.command.count > 0
        };
        let tail = self.exchanges.iter().rev().take_while(unanimous);
        tail.last().map(|exchange| exchange.command.epoch)
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

    /// The time of the vote of `epoch`, by the timestamp counter.
    #[must_use]
    pub fn vote_time(&self, epoch: u64) -> Option<u64> {
        self.events().find_map(|(_, tsc, event)| match event {
            Event::Vote {
                set, epoch: voted, ..
            } if usize::from(set) == self.set && u64::from(voted) == epoch => Some(tsc),
            _ => None,
        })
    }

    /// The repair of the replica that was hit, from the trace of its own core.
    #[must_use]
    pub fn repair(&self) -> Repair {
        let mut repair = Repair::default();
        let Some((_, injected)) = self.injected else {
            return repair;
        };
        let mut differing = 0;
        for (core, tsc, event) in self.events() {
            if core != injected.sandbox {
                continue;
            }
            match event {
                Event::RepairStart {
                    set,
                    differing: pages,
                } if usize::from(set) == self.set => {
                    repair.rounds += 1;
                    differing = u64::from(pages);
                    repair.span = repair.span.or(Some((tsc, tsc)));
                }
                Event::RepairPage { set, .. } if usize::from(set) == self.set => repair.pages += 1,
                Event::RepairEnd {
                    set,
                    copied,
                    result,
                } if usize::from(set) == self.set => {
                    repair.copied += u64::from(copied);
                    repair.done = result == RepairResult::Done;
                    // What a round leaves over is among the next round's pages.
                    repair.differed += if repair.done {
                        differing
                    } else {
                        u64::from(copied).min(differing)
                    };
                    repair.span = repair.span.map(|(start, _)| (start, tsc));
                }
                Event::Rejoin { set, epoch } if usize::from(set) == self.set => {
                    repair.rejoined = Some(epoch);
                }
                _ => {}
            }
        }
        repair
    }

    /// Deadline misses by server, named `sandbox/server`, servers without any included; and
    /// apart from those, the jobs that the hit replica itself missed from the fault to its
    /// return to the set.
    #[must_use]
    pub fn misses(&self) -> (BTreeMap<String, u64>, u64) {
        let mut misses = BTreeMap::new();
        let mut while_out = 0;
        let out = self.injected.and_then(|(epoch, hit)| {
            let place = self.set().replicas.get(hit.replica)?;
            let back = self.repair().rejoined.map_or(u64::MAX, u64::from);
            // A replica's jobs are numbered as the epochs.
            Some((*place, epoch + 1..back))
        });
        for (index, sandbox) in self.system.sandboxes.iter().enumerate() {
            let name = |server: u32| {
                let server = &sandbox.servers[server as usize].name;
                format!("{}/{server}", sandbox.name)
            };
            misses.extend((0..sandbox.servers.len() as u32).map(|server| (name(server), 0)));
            let places: Vec<(u32, u32)> = sandbox
                .threads()
                .map(|(server, thread, _)| (server, thread))
                .collect();
            for (core, _, event) in self.events() {
                let Event::Miss { thread, job } = event else {
                    continue;
                };
                let Some(&(server, thread)) = places.get(usize::from(thread)) else {
                    continue;
                };
                if core != index {
                    continue;
                }
                let is_out = out.as_ref().is_some_and(|(place, jobs)| {
                    (place.sandbox as usize, place.server, place.thread) == (index, server, thread)
                        && jobs.contains(&u64::from(job))
                });
                if is_out {
                    while_out += 1;
                } else {
                    *misses.entry(name(server)).or_default() += 1;
                }
            }
        }
        (misses, while_out)
    }

    /// Outputs that were released.
    #[must_use]
    pub fn released(&self) -> u64 {
        let released = |exchange: &&Exchange| exchange.command.count > 0;
        self.exchanges.iter().filter(released).count() as u64
    }

    /// Compares every released output with the reference, which gets the same inputs:
    /// sample E − 1 in epoch E wherever the trace says that it came in time. `None` of a
    /// program other than the pendulum's controller, and of its inputs from another plant.
    #[must_use]
    pub fn outputs(&self) -> Option<Outputs> {
        let known = self.exchanges.iter().all(|it| it.motion.is_some());
        if self.set().program != Reference::PROGRAM || !known {
            return None;
        }
        let mut fresh = BTreeMap::new();
        for (_, _, event) in self.events() {
            if let Event::Input {
                set,
                epoch,
                fresh: is_fresh,
            } = event
                && usize::from(set) == self.set
            {
                fresh.insert(u64::from(epoch), is_fresh);
            }
        }
        let samples: BTreeMap<u64, (f64, f64)> = self
            .exchanges
            .iter()
            .filter_map(|exchange| {
                let measured = exchange.motion?.measured;
                Some((exchange.command.epoch + 1, measured))
            })
            .collect();
        let mut reference = Reference::new();
        let mut outputs = Outputs::default();
        for exchange in self.exchanges {
            let epoch = exchange.command.epoch;
            let sample = epoch.saturating_sub(1);
            let measured = samples
                .get(&sample)
                .filter(|_| fresh.get(&epoch) == Some(&true));
            let (position, angle) = measured.copied().unwrap_or_default();
            let fresh = measured.is_some();
            let expected = reference.job(&Input {
                epoch,
                fresh,
                sample,
                position,
                angle,
            });
            let words = &exchange.command.words;
            if usize::from(exchange.command.count) < command::WORDS {
                continue;
            }
            outputs.released += 1;
            if [words[command::FORCE], words[command::CHECK]]
                == [expected.force.to_bits(), expected.check]
            {
                continue;
            }
            outputs.wrong += 1;
            outputs.first = outputs.first.or(Some(epoch));
            let released = f64::from_bits(words[command::FORCE]);
            let error = (released - expected.force).abs();
            if error != 0.0 {
                outputs.wrong_forces += 1;
                let worst = outputs
                    .worst
                    .map_or(0.0, |(_, wrong, right)| (wrong - right).abs());
                // What is no number is worse than any.
                if error > worst || error.is_nan() {
                    outputs.worst = Some((epoch, released, expected.force));
                }
            }
        }
        Some(outputs)
    }

    /// Every event of the trace, with the index of its sandbox and its time.
    fn events(&self) -> impl Iterator<Item = (usize, u64, Event)> {
        self.trace
            .cores
            .iter()
            .enumerate()
            .flat_map(|(index, core)| {
                let events = core.events().filter_map(std::result::Result::ok);
                events.map(move |(tsc, event)| (index, tsc, event))
            })
    }
}
