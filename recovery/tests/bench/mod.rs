//! A donor, a witness, a target and a voter's list, one step at a time.
use std::sync::atomic::{AtomicU64, Ordering};
use tern_recovery::{Channels, Donor, Hashing, PageMemory, Published, RepairStep, Target, Witness};
use tern_units::{PAGE_SIZE, PageNumber};
use tern_vote::{
    Code, Descent, DescentEnd, DescentStep, Key, LeafKind, Page, Plan, Reader, Set, VoterLayout,
    Writer, replica_channel_bytes, voter_channel_bytes,
};

pub const SET: Set = Set {
    number: 1,
    replicas: 3,
    key: Key([9, 8, 7, 6]),
    code: Code::Arithmetic,
};
pub const EPOCH: u64 = 5;

/// How the pages of the set are hashed.
pub fn hashing() -> Hashing {
    Hashing {
        set: SET,
        hasher: LeafKind::ahash(&SET.key),
    }
}

/// Pages in which a bit may be stuck at one.
pub struct Memory {
    pub pages: Vec<Page>,
    pub dirty: Vec<bool>,
    pub stuck: Option<(usize, usize)>,
}

impl PageMemory for Memory {
    fn page(&self, page: PageNumber) -> &Page {
        &self.pages[page.0 as usize]
    }

    fn replace(&mut self, page: PageNumber, content: &Page) {
        self.pages[page.0 as usize] = *content;
        if let Some((stuck, byte)) = self.stuck
            && stuck == page.0 as usize
        {
            self.pages[stuck][byte] |= 1;
        }
    }

    fn take_dirty(&mut self, page: PageNumber) -> bool {
        std::mem::take(&mut self.dirty[page.0 as usize])
    }
}

pub fn words(bytes: u64) -> Vec<AtomicU64> {
    (0..bytes / 8).map(|_| AtomicU64::new(0)).collect()
}

/// A replica's memory, leaves and channel.
pub struct Party {
    pub memory: Memory,
    pub table: Published<Vec<u64>>,
    pub channel: Vec<AtomicU64>,
}

impl Party {
    pub fn new(contents: &[u8]) -> Self {
        let pages: Vec<Page> = contents.iter().map(|byte| [*byte; PAGE_SIZE]).collect();
        let count = pages.len();
        let hashing = hashing();
        let mut party = Self {
            memory: Memory {
                pages,
                dirty: vec![false; count],
                stuck: None,
            },
            table: Published::new(&hashing, vec![0; count]),
            channel: words(replica_channel_bytes(count as u32)),
        };
        for page in 0..count as u32 {
            let own = Writer::new(&party.channel);
            let page = PageNumber(page);
            party.table.hash(&hashing, &party.memory, page, own);
        }
        party
    }

    pub fn reader(&self) -> Reader<'_> {
        Reader::new(&self.channel)
    }

    pub fn flip(&self, word: usize, bit: u32) {
        self.channel[word].fetch_xor(1 << bit, Ordering::Relaxed);
    }
}

/// Donor and witness that agree, a target that does not, and the list of differences.
pub struct Bench {
    pub donor: Party,
    pub witness: Party,
    pub target: Party,
    pub voter: Vec<AtomicU64>,
    pub giving: Donor,
    pub confirming: Witness,
    pub taking: Target,
    scratch: Box<Page>,
}

impl Bench {
    pub fn new(sound: &[u8], damaged: &[u8]) -> Self {
        let (donor, witness, target) = (Party::new(sound), Party::new(sound), Party::new(damaged));
        let voter = words(voter_channel_bytes(sound.len() as u32));
        let layout = VoterLayout::new(voter.len()).unwrap();
        let (wanted, found) = (donor.table.summary(), target.table.summary());
        let mut descent = Descent::new(EPOCH, sound.len() as u32, wanted, found);
        let differing = loop {
            let own = Writer::new(&voter);
            match descent.step(&SET, donor.reader(), target.reader(), &layout, own) {
                DescentStep::More(_) => {}
                DescentStep::Done(DescentEnd::Listed(count)) => break count,
                DescentStep::Done(other) => panic!("{other:?}"),
            }
        };
        let plan = Plan {
            target: 2,
            donor: 0,
            witness: 1,
            round: 0,
            differing,
        };
        Self {
            donor,
            witness,
            target,
            voter,
            giving: Donor::new(EPOCH, &plan),
            confirming: Witness::new(EPOCH, &plan),
            taking: Target::new(EPOCH, &plan, wanted, 0),
            scratch: Box::new([0; PAGE_SIZE]),
        }
    }

    pub fn give(&mut self) -> RepairStep {
        let Party {
            memory,
            table,
            channel,
        } = &mut self.donor;
        let (voter, own) = (Reader::new(&self.voter), Writer::new(channel));
        self.giving
            .step(&hashing(), memory, table, voter, self.target.reader(), own)
    }

    pub fn confirm(&mut self) -> RepairStep {
        let Party {
            memory,
            table,
            channel,
        } = &mut self.witness;
        let (voter, own) = (Reader::new(&self.voter), Writer::new(channel));
        self.confirming.step(&hashing(), memory, table, voter, own)
    }

    pub fn take(&mut self) -> RepairStep {
        let channels = Channels {
            voter: Reader::new(&self.voter),
            donor: self.donor.reader(),
            witness: self.witness.reader(),
        };
        let Party {
            memory,
            table,
            channel,
        } = &mut self.target;
        let own = Writer::new(channel);
        self.taking
            .step(&hashing(), memory, table, &mut self.scratch, &channels, own)
    }
}
