//! A small machine in memory: three replicas of a toy program, their channels, a voter,
//! and a golden copy that no fault touches.
mod node;

pub use node::PAGE_WORDS;
use node::{Memory, Node, run_job};

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use tern_units::Instant;
use tern_vote::{
    Key, Outcome, Reader, Release, Set, Verdict, Voter, VoterLayout, VoterStep, Writer,
    replica_channel_bytes, voter_channel_bytes,
};

const REPLICAS: usize = 3;
/// Moments at which a fault may strike in an epoch.
const MOMENTS: u32 = 120;

/// What goes wrong, and when. Memory and channels are those of one replica.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    Memory {
        replica: usize,
        page: u32,
        bit: u32,
        epoch: u64,
        moment: u32,
    },
    Channel {
        replica: usize,
        word: usize,
        bit: u32,
        epoch: u64,
        moment: u32,
    },
    VoterChannel {
        word: usize,
        bit: u32,
        epoch: u64,
        moment: u32,
    },
    Silent {
        replica: usize,
        epochs: u32,
        epoch: u64,
        moment: u32,
    },
    Endless {
        replica: usize,
        epoch: u64,
        moment: u32,
    },
    /// The ballot record of `from`, as it was in `of`, turns up in the channel of `replica`.
    Forged {
        replica: usize,
        from: usize,
        of: u64,
        epoch: u64,
        moment: u32,
    },
}

impl Fault {
    fn when(&self) -> (u64, u32) {
        match *self {
            Self::Memory { epoch, moment, .. }
            | Self::Channel { epoch, moment, .. }
            | Self::VoterChannel { epoch, moment, .. }
            | Self::Silent { epoch, moment, .. }
            | Self::Endless { epoch, moment, .. }
            | Self::Forged { epoch, moment, .. } => (epoch, moment),
        }
    }
}

pub struct World {
    state: u64,
    set: Set,
    pages: u32,
    scrub: u32,
    epoch: u64,
    nodes: Vec<Node>,
    channels: Vec<Vec<AtomicU64>>,
    voter: Voter,
    voter_channel: Vec<AtomicU64>,
    golden: Memory,
    verdict: Option<Verdict>,
    faults: Vec<Fault>,
    ballots: Vec<Vec<Vec<u64>>>,
    repair_steps: u32,
    corrupt_donor: Option<u32>,
    moment: u32,
    listed: u32,
    rounds: u32,
}

fn words(bytes: u64) -> Vec<AtomicU64> {
    (0..bytes / 8).map(|_| AtomicU64::new(0)).collect()
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut state = seed;
        let pages = 4 + (next(&mut state) % 12) as u32;
        Self::with_pages(state, pages)
    }

    pub fn with_pages(seed: u64, pages: u32) -> Self {
        let mut state = seed;
        let scrub = 1 + (next(&mut state) % 3) as u32;
        let key = Key([next(&mut state), next(&mut state), 3, 4]);
        let set = Set {
            number: 0,
            replicas: REPLICAS as u8,
            key,
        };
        let channels: Vec<_> = (0..REPLICAS)
            .map(|_| words(replica_channel_bytes(pages)))
            .collect();
        let nodes = (0..REPLICAS)
            .map(|number| Node::new(set, number as u8, pages, scrub, &channels[number]))
            .collect();
        Self {
            state,
            set,
            pages,
            scrub,
            epoch: 0,
            nodes,
            channels,
            voter: Voter::new(set, 64),
            voter_channel: words(voter_channel_bytes(pages)),
            golden: Memory::new(pages),
            verdict: None,
            faults: Vec::new(),
            ballots: vec![Vec::new(); REPLICAS],
            repair_steps: 10_000,
            corrupt_donor: None,
            moment: 0,
            listed: 0,
            rounds: 0,
        }
    }

    pub fn random(&mut self, range: Range<u64>) -> u64 {
        range.start + next(&mut self.state) % (range.end - range.start)
    }

    pub fn schedule(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// One epoch: jobs and ballots, vote, repair.
    pub fn epoch(&mut self) {
        self.moment = 0;
        let epoch = self.epoch;
        let release = release(epoch);
        let output = run_job(&mut self.golden, &release);
        self.nodes.iter_mut().for_each(|node| node.begin(epoch));

        // From the release to the ballot deadline.
        self.interleave(40, 4_000, |node| node.is_before_ballot());
        self.nodes.iter_mut().for_each(Node::ballot_deadline);
        for (replica, channel) in self.channels.iter().enumerate() {
            self.ballots[replica].push(image(&channel[..64]));
        }

        self.vote(epoch, &output);
        self.nodes.iter_mut().for_each(Node::verdict_due);
        self.interleave(40, self.repair_steps, |node| node.is_repairing());
        while self.moment < MOMENTS {
            self.strike();
        }
        for node in &mut self.nodes {
            node.silent = node.silent.saturating_sub(1);
        }
        self.epoch += 1;
    }

    pub fn run(&mut self, epochs: u64) {
        for _ in 0..epochs {
            self.epoch();
        }
    }

    fn vote(&mut self, epoch: u64, golden: &[u64]) {
        let channels: Vec<_> = self
            .channels
            .iter()
            .map(|words| Reader::new(words))
            .collect();
        let own = Writer::new(&self.voter_channel);
        let layout = VoterLayout::new(self.voter_channel.len()).unwrap();
        let decision = self.voter.begin(epoch, &channels);
        if let Some(output) = decision.output() {
            assert_eq!(output, golden, "wrong output released in epoch {epoch}");
        }
        release(epoch + 1).publish(&self.set, &layout, own);
        let verdict = loop {
            match self.voter.step(&channels, &layout, own).unwrap() {
                VoterStep::More(_) => {}
                VoterStep::Done(verdict) => break verdict,
            }
        };
        if let Some(plan) = verdict.plan {
            self.listed += plan.differing;
            self.rounds = self.rounds.max(plan.round + 1);
            if let Some(page) = self.corrupt_donor.take() {
                let moment = self.moment + 20 + next(&mut self.state) as u32 % 6;
                let replica = usize::from(plan.donor);
                self.faults.push(Fault::Memory {
                    replica,
                    page,
                    bit: 5,
                    epoch,
                    moment,
                });
            }
        }
        self.verdict = Some(verdict);
        for _ in 0..20 {
            self.strike();
        }
    }

    /// Lets the replicas step in random order until none has anything to do, or `most`
    /// steps are made. Faults strike at the first moments.
    fn interleave(&mut self, moments: u32, most: u32, busy: impl Fn(&Node) -> bool) {
        for step in 0..most {
            if step < moments {
                self.strike();
            }
            let ready: Vec<usize> = (0..REPLICAS)
                .filter(|index| self.nodes[*index].silent == 0 && busy(&self.nodes[*index]))
                .collect();
            if ready.is_empty() {
                for _ in step + 1..moments {
                    self.strike();
                }
                return;
            }
            let index = ready[self.random(0..ready.len() as u64) as usize];
            let peers: Vec<_> = self
                .channels
                .iter()
                .map(|words| Reader::new(words))
                .collect();
            let own = Writer::new(&self.channels[index]);
            self.nodes[index].step(Reader::new(&self.voter_channel), &peers, own);
        }
    }

    /// Lets the faults of this moment happen.
    fn strike(&mut self) {
        let now = (self.epoch, self.moment);
        self.moment += 1;
        let due: Vec<Fault> = self
            .faults
            .iter()
            .copied()
            .filter(|fault| fault.when() == now)
            .collect();
        for fault in due {
            match fault {
                Fault::Memory {
                    replica, page, bit, ..
                } => {
                    self.nodes[replica].memory.flip(page, bit);
                }
                Fault::Channel {
                    replica, word, bit, ..
                } => {
                    self.channels[replica][word].fetch_xor(1 << bit, Ordering::Relaxed);
                }
                Fault::VoterChannel { word, bit, .. } => {
                    self.voter_channel[word].fetch_xor(1 << bit, Ordering::Relaxed);
                }
                Fault::Silent {
                    replica, epochs, ..
                } => self.nodes[replica].silent = epochs,
                Fault::Endless { replica, .. } => self.nodes[replica].endless = true,
                Fault::Forged {
                    replica, from, of, ..
                } => {
                    if let Some(image) = self.ballots[from].get(of as usize) {
                        for (word, value) in self.channels[replica].iter().zip(image) {
                            word.store(*value, Ordering::Relaxed);
                        }
                    }
                }
            }
        }
    }

    pub fn limit_repair_steps(&mut self, steps: u32) {
        self.repair_steps = steps;
    }

    /// A flip in replica 1, and one in the same page of its donor during the repair.
    pub fn corrupt_a_target_and_then_its_donor(&mut self) {
        let page = self.random(0..u64::from(self.pages)) as u32;
        self.schedule(Fault::Memory {
            replica: 1,
            page,
            bit: 9,
            epoch: 2,
            moment: 0,
        });
        self.corrupt_donor = Some(page);
        self.run(2 * self.epochs_to_detect_and_repair());
    }

    /// Enough for the scrub to come by, for one recovering ballot and for a repair.
    pub fn epochs_to_detect_and_repair(&self) -> u64 {
        u64::from(self.pages.div_ceil(self.scrub)) + 14
    }

    pub fn pages(&self) -> u32 {
        self.pages
    }

    pub fn verdict(&self) -> Verdict {
        self.verdict.unwrap()
    }

    pub fn has_stopped(&self) -> bool {
        self.voter.is_stopped()
    }

    pub fn is_unanimous(&self) -> bool {
        self.verdict().outcome == Outcome::Unanimous
    }

    pub fn memories_are_equal(&self) -> bool {
        self.nodes
            .iter()
            .all(|node| node.memory.pages == self.golden.pages)
    }

    pub fn listed(&self) -> u32 {
        self.listed
    }

    pub fn rounds(&self) -> u32 {
        self.rounds
    }

    pub fn copied(&self) -> u32 {
        self.nodes.iter().map(|node| node.accepted).sum()
    }

    pub fn rejected(&self) -> u32 {
        self.nodes.iter().map(|node| node.rejected).sum()
    }

    fn a_time(&mut self) -> (u64, u32) {
        (self.random(1..5), self.random(0..u64::from(MOMENTS)) as u32)
    }

    fn a_replica(&mut self) -> usize {
        self.random(0..REPLICAS as u64) as usize
    }

    pub fn random_memory_flip(&mut self) -> Fault {
        let (epoch, moment) = self.a_time();
        let page = self.random(0..u64::from(self.pages)) as u32;
        let bit = self.random(0..PAGE_WORDS as u64 * 64) as u32;
        Fault::Memory {
            replica: self.a_replica(),
            page,
            bit,
            epoch,
            moment,
        }
    }

    pub fn random_channel_flip(&mut self) -> Fault {
        let (epoch, moment) = self.a_time();
        let all = self.channels[0].len() as u64;
        // Half of them where the ballot and the leaves are.
        let end = if self.random(0..2) == 0 {
            128 + u64::from(self.pages)
        } else {
            all
        };
        let word = self.random(0..end) as usize;
        let bit = self.random(0..64) as u32;
        Fault::Channel {
            replica: self.a_replica(),
            word,
            bit,
            epoch,
            moment,
        }
    }

    pub fn random_timing_fault(&mut self) -> Fault {
        let (epoch, moment) = self.a_time();
        let replica = self.a_replica();
        if self.random(0..2) == 0 {
            Fault::Endless {
                replica,
                epoch,
                moment,
            }
        } else {
            let epochs = self.random(1..4) as u32;
            Fault::Silent {
                replica,
                epochs,
                epoch,
                moment,
            }
        }
    }

    pub fn random_forgery(&mut self) -> Fault {
        let (epoch, moment) = self.a_time();
        let (replica, from) = (self.a_replica(), self.a_replica());
        Fault::Forged {
            replica,
            from,
            of: self.random(0..epoch),
            epoch,
            moment,
        }
    }

    pub fn random_fault(&mut self) -> Fault {
        match self.random(0..8) {
            0..3 => self.random_memory_flip(),
            3..5 => self.random_channel_flip(),
            5 => self.random_timing_fault(),
            6 => self.random_forgery(),
            _ => self.random_voter_flip(),
        }
    }

    pub fn random_voter_flip(&mut self) -> Fault {
        let (epoch, moment) = self.a_time();
        // Half of them in the records, the rest also in the list.
        let end = if self.random(0..2) == 0 {
            128
        } else {
            self.voter_channel.len() as u64
        };
        let word = self.random(0..end) as usize;
        let bit = self.random(0..64) as u32;
        Fault::VoterChannel {
            word,
            bit,
            epoch,
            moment,
        }
    }
}

fn image(words: &[AtomicU64]) -> Vec<u64> {
    words
        .iter()
        .map(|word| word.load(Ordering::Relaxed))
        .collect()
}

/// The input of an epoch: any function of it.
pub fn release(epoch: u64) -> Release {
    let mut state = epoch;
    let mut payload = [0; 16];
    payload[0] = next(&mut state);
    payload[1] = next(&mut state);
    let release = Release {
        epoch,
        time: Instant::from_nanos(epoch * 1000),
        fresh: true,
        sample: epoch,
        payload,
    };
    // The first epoch has no input.
    if epoch == 0 {
        Release::default()
    } else {
        release
    }
}

/// Marsaglia's xorshift64*, stepped once.
pub fn next(state: &mut u64) -> u64 {
    *state = (*state).max(1);
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d)
}
