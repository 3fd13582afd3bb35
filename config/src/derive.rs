//! What a description implies: the members of replica sets, the channels between them,
//! and the same system without its redundancy.
use alloc::format;
use alloc::vec::Vec;

use crate::layout::{replica_channel_bytes, voter_channel_bytes};
use crate::system::{Channel, ReplicaSet, Runs, System, ThreadRef, Voting};

/// Pages of a program's text and data assumed until its file is at hand.
const ASSUMED_PROGRAM_PAGES: u64 = 256;

impl ReplicaSet {
    /// Pages of a replica whose program's segments have `program` pages: context and
    /// output page, segments, heap and stack.
    #[must_use]
    pub fn pages(&self, program: u64) -> u64 {
        let own = 2 + u64::from(self.heap_pages) + u64::from(self.stack_pages);
        own.saturating_add(program)
    }

    /// The same with 256 pages for the program's segments: what is assumed until its
    /// file is at hand.
    #[must_use]
    pub fn assumed_pages(&self) -> u64 {
        self.pages(ASSUMED_PROGRAM_PAGES)
    }
}

impl System {
    /// Fills in the members of each replica set from what the threads run, and replaces
    /// the channels that sets imply, which follow all others:
    ///
    /// * `SET.voter`, written by the voter's sandbox, read by every replica's;
    /// * `SET.SANDBOX` for each replica, written by its sandbox, read by the other
    ///   replicas' and the voter's.
    ///
    /// A set without a voter gets no channels.
    pub fn derive_replica_sets(&mut self) {
        self.drop_derived_channels();
        for index in 0..self.replica_sets.len() {
            let mut replicas = Vec::new();
            let mut voter = None;
            for (place, runs) in self.running() {
                match runs {
                    Runs::Replica(set) if *set as usize == index => replicas.push(place),
                    Runs::Voter(set) if *set as usize == index => voter = voter.or(Some(place)),
                    _ => {}
                }
            }
            let set = &mut self.replica_sets[index];
            set.replicas = replicas;
            set.voter = voter;
            self.derive_channels(index);
        }
    }

    /// Sizes the channels of a set for a program of `pages` pages in all: context page,
    /// segments, heap, output page and stack.
    pub fn size_channels(&mut self, set: usize, pages: u64) {
        let Some(set) = self.replica_sets.get(set) else {
            return;
        };
        let voter = set
            .voter_channel
            .map(|index| (index, voter_channel_bytes(pages)));
        let replicas = set.replica_channels.iter();
        let replicas = replicas.map(|index| (*index, replica_channel_bytes(pages)));
        let sizes: Vec<(u32, u64)> = voter.into_iter().chain(replicas).collect();
        for (index, bytes) in sizes {
            if let Some(channel) = self.channels.get_mut(index as usize) {
                channel.bytes = bytes;
            }
        }
    }

    /// The same system with one copy of each replicated program and nobody voting: the
    /// sandboxes of the other replicas are left out, and the arbitrator passes outputs on
    /// as they come.
    #[must_use]
    pub fn unprotected(&self) -> Self {
        let mut system = self.clone();
        system.drop_derived_channels();
        let mut dropped = Vec::new();
        for set in &mut system.replica_sets {
            set.voting = Voting::Unprotected;
            dropped.extend(set.replicas.drain(1.min(set.replicas.len())..));
        }
        // From the back, so that places before stay what they are.
        dropped
            .sort_by_key(|place| core::cmp::Reverse((place.sandbox, place.server, place.thread)));
        for place in &dropped {
            let servers = &mut system.sandboxes[place.sandbox as usize].servers;
            servers[place.server as usize]
                .threads
                .remove(place.thread as usize);
        }
        let mut left_out: Vec<u32> = dropped.iter().map(|place| place.sandbox).collect();
        left_out.dedup();
        left_out.retain(|sandbox| {
            let threads = self.sandboxes[*sandbox as usize].threads();
            let kept = |(server, thread, _)| {
                !dropped.contains(&ThreadRef {
                    sandbox: *sandbox,
                    server,
                    thread,
                })
            };
            let needed = |runs: &Runs| matches!(runs, Runs::Replica(_) | Runs::Voter(_));
            !threads
                .filter(|it| kept(*it))
                .any(|(_, _, thread)| needed(&thread.runs))
        });
        system.remove_sandboxes(&left_out);
        system.derive_replica_sets();
        system
    }

    /// Every thread's place and what it runs.
    fn running(&self) -> impl Iterator<Item = (ThreadRef, &Runs)> {
        self.sandboxes
            .iter()
            .enumerate()
            .flat_map(|(sandbox, owner)| {
                let sandbox = sandbox as u32;
                owner.threads().map(move |(server, thread, it)| {
                    (
                        ThreadRef {
                            sandbox,
                            server,
                            thread,
                        },
                        &it.runs,
                    )
                })
            })
    }

    fn drop_derived_channels(&mut self) {
        let derived = |set: &ReplicaSet| {
            set.replica_channels
                .iter()
                .chain(&set.voter_channel)
                .copied()
                .min()
        };
        if let Some(first) = self.replica_sets.iter().filter_map(derived).min() {
            self.channels.truncate(first as usize);
        }
        for set in &mut self.replica_sets {
            set.voter_channel = None;
            set.replica_channels.clear();
        }
    }

    fn derive_channels(&mut self, index: usize) {
        let set = &self.replica_sets[index];
        let Some(voter) = set.voter.map(|place| place.sandbox) else {
            return;
        };
        let replicas: Vec<u32> = set.replicas.iter().map(|place| place.sandbox).collect();
        let pages = set.assumed_pages();
        let first = self.channels.len() as u32;
        self.channels.push(Channel {
            name: format!("{}.voter", set.name),
            writer: voter,
            readers: replicas.clone(),
            bytes: voter_channel_bytes(pages),
        });
        for writer in &replicas {
            let others = replicas.iter().copied().filter(|reader| reader != writer);
            let owner = &self.sandboxes[*writer as usize].name;
            self.channels.push(Channel {
                name: format!("{}.{owner}", set.name),
                writer: *writer,
                readers: others.chain([voter]).collect(),
                bytes: replica_channel_bytes(pages),
            });
        }
        let set = &mut self.replica_sets[index];
        set.voter_channel = Some(first);
        set.replica_channels = (first + 1..self.channels.len() as u32).collect();
    }

    /// Takes sandboxes out, with the channels that then have no writer or no reader.
    /// Members of replica sets must be derived anew.
    fn remove_sandboxes(&mut self, removed: &[u32]) {
        let moved = |sandbox: u32| {
            let before = removed.iter().filter(|other| **other < sandbox).count() as u32;
            (!removed.contains(&sandbox)).then_some(sandbox - before)
        };
        let mut position = 0;
        self.sandboxes.retain(|_| {
            position += 1;
            !removed.contains(&(position - 1))
        });
        self.channels.retain_mut(|channel| {
            channel.readers = channel.readers.iter().filter_map(|it| moved(*it)).collect();
            let writer = moved(channel.writer);
            channel.writer = writer.unwrap_or(0);
            writer.is_some() && !channel.readers.is_empty()
        });
    }
}
