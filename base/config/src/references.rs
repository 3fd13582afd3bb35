//! What a description refers to: files of its image, and its own items by index.
use crate::system::{ReplicaSet, Runs, ServerKind, System, Thread, ThreadRef, Voting};

impl System {
    /// The names of the image's files that the description needs: every sandbox's
    /// kernel and every program. A name may come more than once.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        let kernels = self.sandboxes.iter().map(|sandbox| sandbox.kernel.as_str());
        let threads = self.sandboxes.iter().flat_map(|sandbox| &sandbox.servers);
        let programs =
            threads
                .flat_map(|server| &server.threads)
                .filter_map(|thread| match &thread.runs {
                    Runs::Program { file, .. } => Some(file.as_str()),
                    _ => None,
                });
        let replicated = self.replica_sets.iter().map(|set| set.program.as_str());
        kernels.chain(programs).chain(replicated)
    }

    /// The device that a thread sends through: a voter's, its set's.
    #[must_use]
    pub fn sends_through(&self, thread: &Thread) -> Option<u32> {
        match thread.runs {
            Runs::Voter(set) => self.replica_sets.get(set as usize)?.device,
            _ => None,
        }
    }

    /// Indices of the servers whose threads ask the I/O server at index `server` of a
    /// sandbox for work: the voters' that send through a device it drives. None for a
    /// sporadic server.
    pub fn requesters(&self, sandbox: usize, server: usize) -> impl Iterator<Item = usize> {
        let servers = self
            .sandboxes
            .get(sandbox)
            .map_or(&[][..], |owner| &owner.servers);
        let own = servers.get(server).filter(|own| own.kind == ServerKind::Io);
        let others = own.map_or(&[][..], |_| servers);
        let drives = move |device: u32| {
            own.is_some_and(|own| {
                let mut threads = own.threads.iter();
                threads.any(|thread| thread.runs == Runs::Driver(device))
            })
        };
        let asks = move |thread: &Thread| self.sends_through(thread).is_some_and(drives);
        (0..)
            .zip(others)
            .filter(move |(index, other)| *index != server && other.threads.iter().any(asks))
            .map(|(index, _)| index)
    }

    /// Whether every index refers to something that exists, so that following one
    /// cannot panic, and every voted set has its voter and its channels.
    #[must_use]
    pub fn references_hold(&self) -> bool {
        let sandbox = |index: u32| (index as usize) < self.sandboxes.len();
        let device = |index: u32| (index as usize) < self.devices.len();
        let channel = |index: u32| (index as usize) < self.channels.len();
        let set = |index: u32| (index as usize) < self.replica_sets.len();
        let thread = |place: &ThreadRef| self.thread(place).is_some();
        let threads_hold = self.sandboxes.iter().all(|owner| {
            owner.devices.iter().all(|index| device(*index))
                && owner.servers.iter().flat_map(|server| &server.threads).all(
                    |thread| match thread.runs {
                        Runs::Replica(index) | Runs::Voter(index) => set(index),
                        Runs::Driver(index) => device(index),
                        Runs::Program { simulates, .. } => simulates.is_none_or(device),
                        Runs::Nothing => true,
                    },
                )
        });
        let channels_hold = self.channels.iter().all(|channel| {
            sandbox(channel.writer) && channel.readers.iter().all(|index| sandbox(*index))
        });
        let devices_hold = self.devices.iter().all(|device| {
            let channels = device.channels.iter();
            let mut both = channels.flat_map(|it| [it.output, it.input]);
            both.all(channel) && device.verdicts.iter().all(|index| channel(*index))
        });
        let sets_hold = self.replica_sets.iter().all(|set| {
            set.replicas.iter().all(thread)
                && set.voters.iter().all(thread)
                && set.device.is_none_or(device)
                && set.channels().all(channel)
                && has_places(set)
        });
        threads_hold && channels_hold && devices_hold && sets_hold
    }
}

/// Whether a set has as many voters and channels as who votes needs.
fn has_places(set: &ReplicaSet) -> bool {
    let replicas = set.replicas.len();
    let (voters, ballots) = match set.voting {
        Voting::Unprotected => return true,
        Voting::Arbitrator { .. } => (1, 0),
        Voting::Distributed | Voting::Lockstep { .. } => (replicas, replicas),
    };
    let channels = (set.replica_channels.len(), set.ballot_channels.len());
    (set.voters.len(), set.voter_channels.len()) == (voters, voters)
        && channels == (replicas, ballots)
}
