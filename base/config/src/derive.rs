//! What a description implies: the members of replica sets, the channels between them
//! and to simulated devices, and the same system without its redundancy.
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::layout::{
    LINE_CHANNEL_BYTES, ballot_channel_bytes, replica_channel_bytes, voter_channel_bytes,
};
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
    /// * `SET.voter`, written by the voter's sandbox, read by every replica's; where each of those
    ///   has a voter, `SET.SANDBOX.voter` for each, read by the others;
    /// * `SET.SANDBOX` for each replica, written by its sandbox, read by the other
    ///   replicas' and the voter's;
    /// * `SET.SANDBOX.ballot` for each replica, in the same hands, where ballots are sealed;
    /// * `DEVICE.output` and `DEVICE.input` for each simulated device, between the
    ///   sandboxes of its driver and of its plant.
    ///
    /// A set without a voter gets no channels, nor does a device without a driver.
    pub fn derive(&mut self) {
        self.drop_derived_channels();
        for index in 0..self.replica_sets.len() {
            let mut replicas = Vec::new();
            let mut voters = Vec::new();
            for (place, runs) in self.running() {
                match runs {
                    Runs::Replica(set) if *set as usize == index => replicas.push(place),
                    Runs::Voter(set) if *set as usize == index => voters.push(place),
                    _ => {}
                }
            }
            let set = &mut self.replica_sets[index];
            set.voters = match set.voting {
                Voting::Arbitrator { .. } | Voting::Unprotected => {
                    voters.into_iter().take(1).collect()
                }
                Voting::Distributed | Voting::Lockstep { .. } => beside(&replicas, &voters),
            };
            if let (Voting::Lockstep { device: place }, Some(device)) =
                (&mut set.voting, set.device)
            {
                let has_device = |replica: &ThreadRef| {
                    let sandbox = self.sandboxes.get(replica.sandbox as usize);
                    sandbox.is_some_and(|sandbox| sandbox.devices.contains(&device))
                };
                *place = replicas.iter().position(has_device).unwrap_or(0) as u8;
            }
            set.replicas = replicas;
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
        let sets = sets.map(|set| set.channels().count());
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
        let voters = set.voter_channels.iter();
        let voters = voters.map(|index| (*index, voter_channel_bytes(pages)));
        let replicas = set.replica_channels.iter();
        let replicas = replicas.map(|index| (*index, replica_channel_bytes(pages)));
        let sizes: Vec<(u32, u64)> = voters.chain(replicas).collect();
        for (index, bytes) in sizes {
            if let Some(channel) = self.channels.get_mut(index as usize) {
                channel.bytes = bytes;
            }
        }
    }

    /// The same system with one copy of each replicated program and nobody voting: the
    /// sandboxes of the other replicas are left out, and one voter passes outputs on as they
    /// come.
    #[must_use]
    pub fn unprotected(&self) -> Self {
        let mut system = self.clone();
        system.drop_derived_channels();
        let mut dropped = Vec::new();
        for set in &mut system.replica_sets {
            // The copy that is left is beside the device.
            let last = set.replicas.len().min(set.voters.len()).saturating_sub(1);
            if let Voting::Lockstep { device } = set.voting {
                set.replicas.swap(0, last.min(device.into()));
                set.voters.swap(0, last.min(device.into()));
            }
            set.voting = Voting::Unprotected;
            dropped.extend(set.replicas.drain(1.min(set.replicas.len())..));
            dropped.extend(set.voters.drain(1.min(set.voters.len())..));
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
            set.voter_channels.clear();
            set.replica_channels.clear();
            set.ballot_channels.clear();
        }
        for device in &mut self.devices {
            device.channels = None;
            device.verdicts.clear();
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
                seal_from: 0,
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
        let voting = set.voting;
        // A verdict stands until the next ballots are due. Where several vote, it is decided once
        // for all what came in time.
        let (ballots_close, verdicts_close) = match voting {
            Voting::Arbitrator { .. } | Voting::Unprotected => (None, None),
            Voting::Distributed | Voting::Lockstep { .. } => {
                (Some(set.ballot_deadline), Some(set.verdict_deadline))
            }
        };
        let verdicts = Seals {
            interval: set.voter_seal(),
            from: set.ballot_deadline,
            close: verdicts_close,
        };
        let ballots = Seals {
            interval: set.voter_seal(),
            from: 0,
            close: ballots_close,
        };
        let replicas = sandboxes(&set.replicas);
        let voters = sandboxes(&set.voters);
        let pages = set.assumed_pages();
        let name = set.name.clone();
        if voters.is_empty() {
            return;
        }
        let mut everybody = replicas.clone();
        everybody.extend(voters.iter().filter(|voter| !replicas.contains(voter)));
        let mut add = |name: String, writer: u32, bytes: u64, seals: &Seals| {
            let readers = everybody.iter().filter(|reader| **reader != writer);
            self.channels.push(Channel {
                name,
                writer,
                readers: readers.copied().collect(),
                bytes,
                doorbell: None,
                seal: seals.interval,
                seal_from: seals.interval.map_or(0, |_| seals.from),
                close: seals.close,
            });
            self.channels.len() as u32 - 1
        };

        let of = |sandbox: u32| &self.sandboxes[sandbox as usize].name;
        let mut voter_channels = Vec::new();
        for voter in &voters {
            let name = match voting {
                Voting::Arbitrator { .. } | Voting::Unprotected => format!("{name}.voter"),
                Voting::Distributed | Voting::Lockstep { .. } => {
                    format!("{name}.{}.voter", of(*voter))
                }
            };
            let bytes = voter_channel_bytes(pages);
            voter_channels.push(add(name, *voter, bytes, &verdicts));
        }
        let mut replica_channels = Vec::new();
        for replica in &replicas {
            let name = format!("{name}.{}", of(*replica));
            let bytes = replica_channel_bytes(pages);
            replica_channels.push(add(name, *replica, bytes, &Seals::NONE));
        }
        let mut ballot_channels = Vec::new();
        match voting {
            Voting::Arbitrator { .. } | Voting::Unprotected => {}
            Voting::Distributed | Voting::Lockstep { .. } => {
                for replica in &replicas {
                    let name = format!("{name}.{}.ballot", of(*replica));
                    let bytes = ballot_channel_bytes();
                    ballot_channels.push(add(name, *replica, bytes, &ballots));
                }
            }
        }
        let set = &mut self.replica_sets[index];
        if let (Voting::Distributed, Some(device)) = (voting, set.device) {
            // Who has the device is what most of the voters say.
            self.devices[device as usize]
                .verdicts
                .clone_from(&voter_channels);
        }
        set.voter_channels = voter_channels;
        set.replica_channels = replica_channels;
        set.ballot_channels = ballot_channels;
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

/// How a channel of a set is sealed; times are nanoseconds.
struct Seals {
    interval: Option<u64>,
    from: u64,
    close: Option<u64>,
}

impl Seals {
    const NONE: Self = Self {
        interval: None,
        from: 0,
        close: None,
    };
}

fn sandboxes(places: &[ThreadRef]) -> Vec<u32> {
    places.iter().map(|place| place.sandbox).collect()
}

/// Returns the voters in the order of the replicas in the same sandboxes; those that are beside no
/// replica follow, as does every further one in a sandbox.
fn beside(replicas: &[ThreadRef], voters: &[ThreadRef]) -> Vec<ThreadRef> {
    let mut left = Vec::from(voters);
    let mut ordered = Vec::new();
    for replica in replicas {
        let found = left.iter().position(|it| it.sandbox == replica.sandbox);
        ordered.extend(found.map(|at| left.remove(at)));
    }
    ordered.extend(left);
    ordered
}
