//! What a description implies: the members of replica sets, the channels between them
//! and to simulated devices, and the same system without its redundancy.
use alloc::format;
use alloc::vec::Vec;

use crate::layout::{LINE_CHANNEL_BYTES, replica_channel_bytes, voter_channel_bytes};
use crate::system::{Channel, DeviceChannels, ReplicaSet, Runs, System, ThreadRef, Voting};

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
    /// the channels that are implied, which follow all others:
    ///
    /// * `SET.voter`, written by the voter's sandbox, read by every replica's;
    /// * `SET.SANDBOX` for each replica, written by its sandbox, read by the other
    ///   replicas' and the voter's;
    /// * `DEVICE.output` and `DEVICE.input` for each simulated device, between the
    ///   sandboxes of its driver and of its plant.
    ///
    /// A set without a voter gets no channels, nor does a device without a driver.
    pub fn derive(&mut self) {
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
        for index in 0..self.devices.len() {
            self.derive_device_channels(index);
        }
    }

    /// How many of the channels, the last ones, are implied.
    #[must_use]
    pub fn derived_channels(&self) -> usize {
        let sets = self.replica_sets.iter();
        let sets = sets.map(|set| set.replica_channels.len() + set.voter_channel.iter().len());
        let devices = self.devices.iter();
        let devices = devices.map(|device| 2 * device.channels.iter().len());
        sets.chain(devices).sum()
    }

    /// The thread whose program simulates what is at the other end of `device`.
    #[must_use]
    pub fn plant(&self, device: u32) -> Option<ThreadRef> {
        self.running().find_map(|(place, runs)| match runs {
            Runs::Program {
                simulates: Some(index),
                ..
            } if *index == device => Some(place),
            _ => None,
        })
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
        system.derive();
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
        let written = self.channels.len().saturating_sub(self.derived_channels());
        self.channels.truncate(written);
        for set in &mut self.replica_sets {
            set.voter_channel = None;
            set.replica_channels.clear();
        }
        for device in &mut self.devices {
            device.channels = None;
        }
    }

    fn derive_device_channels(&mut self, index: usize) {
        let device = index as u32;
        let driver = self.running().find_map(|(place, runs)| match runs {
            Runs::Driver(driven) if *driven == device => Some(place.sandbox),
            _ => None,
        });
        let plant = self.plant(device).map(|place| place.sandbox);
        let (Some(driver), Some(plant)) = (driver, plant) else {
            return;
        };
        let output = self.channels.len() as u32;
        let name = &self.devices[index].name;
        for (direction, writer, reader) in [("output", driver, plant), ("input", plant, driver)] {
            self.channels.push(Channel {
                name: format!("{name}.{direction}"),
                writer,
                readers: Vec::from([reader]),
                bytes: LINE_CHANNEL_BYTES,
                doorbell: None,
                seal: None,
                close: None,
            });
        }
        self.devices[index].channels = Some(DeviceChannels {
            output,
            input: output + 1,
        });
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
            doorbell: None,
            seal: set.voter_seal(),
            close: None,
        });
        for writer in &replicas {
            let others = replicas.iter().copied().filter(|reader| reader != writer);
            let owner = &self.sandboxes[*writer as usize].name;
            self.channels.push(Channel {
                name: format!("{}.{owner}", set.name),
                writer: *writer,
                readers: others.chain([voter]).collect(),
                bytes: replica_channel_bytes(pages),
                doorbell: None,
                seal: None,
                close: None,
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
