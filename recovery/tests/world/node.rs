//! One replica: a toy program in a few pages, and what its kernel does around it.
use super::next;
use tern_recovery::{
    Closing, CommitStep, Duty, Opening, PageMemory, RepairEnd, RepairStep, Replica,
};
use tern_units::{PAGE_SIZE, PageNumber};
use tern_vote::{LeafKind, Page, PageHasher, Reader, Release, Set, Writer, page_of_words};

pub const PAGE_WORDS: usize = PAGE_SIZE / 8;

/// A program's pages with their dirty bits.
pub struct Memory {
    pub pages: Vec<Page>,
    dirty: Vec<bool>,
}

impl Memory {
    pub fn new(pages: u32) -> Self {
        let pages = pages as usize;
        Self {
            pages: vec![[0; PAGE_SIZE]; pages],
            dirty: vec![false; pages],
        }
    }

    /// A fault: the page tables do not see it.
    pub fn flip(&mut self, page: u32, bit: u32) {
        self.pages[page as usize][bit as usize / 8] ^= 1 << (bit % 8);
    }

    fn word(&self, page: usize, word: usize) -> u64 {
        u64::from_le_bytes(self.pages[page][8 * word..8 * word + 8].try_into().unwrap())
    }

    fn write(&mut self, page: usize, word: usize, value: u64) {
        self.pages[page][8 * word..8 * word + 8].copy_from_slice(&value.to_le_bytes());
        self.dirty[page] = true;
    }
}

impl PageMemory for Memory {
    fn page(&self, page: PageNumber) -> &Page {
        &self.pages[page.0 as usize]
    }

    fn replace(&mut self, page: PageNumber, content: &Page) {
        self.pages[page.0 as usize] = *content;
    }

    fn take_dirty(&mut self, page: PageNumber) -> bool {
        std::mem::take(&mut self.dirty[page.0 as usize])
    }
}

/// The toy program's job, one write at a time: the pages but the first two change, one of
/// them wholly, and the output depends on all that was read.
pub struct Job {
    state: u64,
    left: u32,
    sum: u64,
}

impl Job {
    pub fn new(release: &Release) -> Self {
        Self {
            state: release.payload[0] ^ release.epoch,
            left: 6,
            sum: release.payload[1],
        }
    }

    /// `None` once the job is done.
    pub fn step(&mut self, memory: &mut Memory) -> Option<()> {
        self.left = self.left.checked_sub(1)?;
        let page = 2 + (next(&mut self.state) % (memory.pages.len() as u64 - 2)) as usize;
        if self.left == 0 {
            for word in 0..PAGE_WORDS {
                memory.write(page, word, self.sum ^ word as u64);
            }
            return Some(());
        }
        let word = (next(&mut self.state) % PAGE_WORDS as u64) as usize;
        let constant = memory.word(0, word);
        self.sum = self.sum.rotate_left(9) ^ memory.word(page, word).wrapping_add(constant);
        let value = next(&mut self.state).wrapping_add(self.sum);
        memory.write(page, word, value);
        Some(())
    }

    pub fn output(&self) -> [u64; 2] {
        [self.sum, self.state]
    }
}

/// The whole job at once.
pub fn run_job(memory: &mut Memory, release: &Release) -> Vec<u64> {
    let mut job = Job::new(release);
    while job.step(memory).is_some() {}
    job.output().to_vec()
}

/// Where a replica's thread is.
enum At {
    Release,
    Job(Job, Release),
    Commit([u64; 2], Release),
    Hash,
    Voted,
    Closing,
    Repair,
    Over,
}

pub struct Node {
    pub memory: Memory,
    pub silent: u32,
    pub endless: bool,
    pub accepted: u32,
    pub rejected: u32,
    replica: Replica<Vec<u64>>,
    hasher: LeafKind,
    scratch: Box<Page>,
    epoch: u64,
    at: At,
}

impl Node {
    pub fn new(
        set: Set,
        number: u8,
        pages: u32,
        scrub: u32,
        channel: &[std::sync::atomic::AtomicU64],
    ) -> Self {
        let hasher = LeafKind::ahash(&set.key);
        let storage = vec![0; pages as usize];
        let mut replica = Replica::new(set, number, hasher.clone(), storage, scrub);
        let mut memory = Memory::new(pages);
        while replica
            .hash_step(&mut memory, Writer::new(channel))
            .is_some()
        {}
        Self {
            memory,
            silent: 0,
            endless: false,
            accepted: 0,
            rejected: 0,
            replica,
            hasher,
            scratch: Box::new([0; PAGE_SIZE]),
            epoch: 0,
            at: At::Over,
        }
    }

    /// A release comes. A silent replica goes on later where it was.
    pub fn begin(&mut self, epoch: u64) {
        if self.silent == 0 {
            self.epoch = epoch;
            self.at = At::Release;
        }
    }

    pub fn is_before_ballot(&self) -> bool {
        !matches!(self.at, At::Voted | At::Closing | At::Repair | At::Over)
    }

    pub fn is_repairing(&self) -> bool {
        matches!(self.at, At::Closing | At::Repair)
    }

    /// The kernel cancels a job that has not ended. A silent replica's does not even that.
    pub fn ballot_deadline(&mut self) {
        if self.silent == 0 {
            if matches!(self.at, At::Job(..) | At::Commit(..)) {
                self.replica.cancel();
                self.endless = false;
            }
            self.at = At::Voted;
        }
    }

    pub fn verdict_due(&mut self) {
        if self.silent == 0 && matches!(self.at, At::Voted) {
            self.at = At::Closing;
        }
    }

    /// One bounded piece of whatever comes next.
    pub fn step(&mut self, voter: Reader<'_>, peers: &[Reader<'_>], own: Writer<'_>) {
        self.at = match std::mem::replace(&mut self.at, At::Over) {
            At::Release => match self.replica.open(self.epoch, voter, true) {
                Opening::NotYet => unreachable!("the last chance"),
                Opening::Run(release) => At::Job(Job::new(&release), release),
                Opening::Recover => At::Hash,
                Opening::Stopped => At::Over,
            },
            At::Job(job, release) if self.endless => At::Job(job, release),
            At::Job(mut job, release) => match job.step(&mut self.memory) {
                Some(()) => At::Job(job, release),
                None => {
                    self.replica.begin_commit();
                    At::Commit(job.output(), release)
                }
            },
            At::Commit(output, release) => match self.replica.commit_step(&mut self.memory, own) {
                CommitStep::Done => {
                    let (mut words, mut page) = ([0; PAGE_WORDS], [0; PAGE_SIZE]);
                    release.fill(&mut words);
                    page_of_words(&words, &mut page);
                    self.replica
                        .cast(self.hasher.leaf(&page), &output, own)
                        .unwrap();
                    At::Voted
                }
                _ => At::Commit(output, release),
            },
            At::Hash => match self.replica.hash_step(&mut self.memory, own) {
                Some(_) => At::Hash,
                None => {
                    self.replica.cast_recovering(own).unwrap();
                    At::Voted
                }
            },
            At::Closing => match self.replica.close(self.epoch, voter) {
                Closing::NotYet => At::Closing,
                Closing::Work(Duty::Donor | Duty::Witness | Duty::Target | Duty::Rehash) => {
                    At::Repair
                }
                Closing::Idle | Closing::Stopped => At::Over,
            },
            At::Repair => self.repair(voter, peers, own),
            other => other,
        };
    }

    fn repair(&mut self, voter: Reader<'_>, peers: &[Reader<'_>], own: Writer<'_>) -> At {
        let before = self.replica.repaired();
        let step = self
            .replica
            .repair_step(&mut self.memory, &mut self.scratch, voter, peers, own);
        let accepted = self.replica.repaired().saturating_sub(before);
        self.accepted += accepted;
        match step {
            RepairStep::Ended(RepairEnd::Incomplete) => {
                self.rejected += 1;
                At::Over
            }
            RepairStep::Ended(_) => At::Over,
            _ => At::Repair,
        }
    }
}
