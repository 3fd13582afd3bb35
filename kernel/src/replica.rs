//! The thread of a replica: job, commit, ballot, and its part in repairs, at the
//! instants that the system description gives.
//!
//! What is decided here is only when; what is done, one page a step, is in
//! `tern_recovery`. All of it runs in the thread's own server.
use crate::job::{Job, Releases};
use crate::process::{Outcome, Process};
use crate::{channel, clock, description, say, thread, trace};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use tern_config::layout::REPAIR_LOOKS;
use tern_config::{LeafAlgorithm, ReplicaSet, ThreadRef, Voting};
use tern_recovery::{
    Closing, CommitStep, Duty, Opening, PageMemory, RepairEnd, RepairStep, Replica,
};
use tern_trace::{Event, RepairResult};
use tern_units::{Duration, Instant, PAGE_SIZE, PageNumber};
use tern_vote::{
    Key, LeafKind, Page, PageHasher, Reader, Release, ReplicaLayout, Set, VoterLayout, Writer,
    page_of_words, sha256,
};

impl PageMemory for Process {
    fn page(&self, page: PageNumber) -> &Page {
        Self::page(self, page)
    }

    fn replace(&mut self, page: PageNumber, content: &Page) {
        *self.page_mut(page) = *content;
    }

    fn take_dirty(&mut self, page: PageNumber) -> bool {
        Self::take_dirty(self, page)
    }
}

/// The set of the system description, as the vote knows it.
#[must_use]
pub fn set_of(number: u32, set: &ReplicaSet) -> Set {
    Set {
        number,
        replicas: set.replicas.len() as u8,
        key: Key(set.key),
    }
}

/// The hash that the system description chooses.
fn hasher_of(set: &ReplicaSet) -> LeafKind {
    match set.leaf {
        LeafAlgorithm::Ahash => LeafKind::ahash(&Key(set.key)),
        LeafAlgorithm::Sha256 => LeafKind::sha256(&Key(set.key)),
    }
}

/// What a replica's thread works with.
#[derive(Debug)]
pub struct ReplicaThread {
    set: &'static ReplicaSet,
    number: u16,
    replica: Replica<Vec<u64>>,
    hasher: LeafKind,
    own: Writer<'static>,
    voter: Reader<'static>,
    peers: Vec<Reader<'static>>,
    scratch: Box<Page>,
    /// What the next job may take of its server's budget.
    wcet: Duration,
    /// Whether it did not take part in the last epoch.
    outside: bool,
}

impl ReplicaThread {
    /// Prepares the replica at `place` of set `set` and hashes all of its pages.
    ///
    /// # Panics
    /// During boot, if the set's channels do not fit the program: the message says so.
    #[must_use]
    pub fn prepare(set_number: u32, place: ThreadRef, process: &mut Process) -> Self {
        let system = description::system();
        let set = &system.replica_sets[set_number as usize];
        let name = &set.name;
        let Some(number) = set.replicas.iter().position(|it| *it == place) else {
            panic!("replica set \"{name}\" does not list its replica");
        };
        let own = set.replica_channels.get(number).copied();
        let voter = set.voter_channel.and_then(channel::reader);
        let peers = set
            .replica_channels
            .iter()
            .map(|index| channel::reader(*index));
        let (Some(own), Some(voter), Some(peers)) = (
            own.and_then(channel::writer),
            voter,
            peers.collect::<Option<Vec<_>>>(),
        ) else {
            panic!("replica set \"{name}\" lacks channels: it needs a voter");
        };
        let pages = process.page_count().0;
        let room = ReplicaLayout::new(own.reader().len()).map_or(0, |layout| layout.capacity());
        let list = VoterLayout::new(voter.len()).map_or(0, |layout| layout.capacity());
        assert!(
            pages <= room.min(list),
            "the channels of replica set \"{name}\" hold {} pages, its program has {pages}",
            room.min(list)
        );
        let scrub = u64::from(pages) * set.period;
        let scrub = scrub.div_ceil(set.scrub_period.max(1)) as u32;
        let hasher = hasher_of(set);
        let mut replica = Replica::new(
            set_of(set_number, set),
            number as u8,
            hasher.clone(),
            vec![0; pages as usize],
            scrub,
        );
        while replica.hash_step(process, own).is_some() {}
        // The first confirmation asks the processor what it can do, which is a VM exit.
        let _ = sha256(&[0; PAGE_SIZE]);
        let server = &description::sandbox().servers[place.server as usize];
        let wcet = server.threads[place.thread as usize].wcet;
        Self {
            set,
            number: set_number as u16,
            replica,
            hasher,
            own,
            voter,
            peers,
            scratch: Box::new([0; PAGE_SIZE]),
            wcet: Duration::from_nanos(wcet),
            outside: false,
        }
    }

    /// One epoch after the other.
    pub fn run(
        mut self,
        process: &mut Process,
        thread: &tern_config::Thread,
        records_exits: bool,
    ) -> ! {
        let mut releases = Releases::of(thread);
        loop {
            let job = releases.next();
            match self.open(&job) {
                Opening::Run(release) => self.run_job(process, &job, &release),
                Opening::Recover | Opening::NotYet => self.recover(process, &job),
                Opening::Stopped => {
                    say!("{}: the replica set has stopped", process.name());
                    thread::stop()
                }
            }
            if records_exits {
                trace::record_exits();
            }
            self.after_verdict(process, &job);
        }
    }

    /// Opens the job's epoch. Where the voter is late, it is waited for as long as the job
    /// can still be done in time.
    fn open(&mut self, job: &Job) -> Opening {
        let slack = Duration::from_nanos(self.set.ballot_deadline).saturating_sub(self.wcet);
        let pause = Duration::from_nanos((slack.as_nanos() / REPAIR_LOOKS).max(1));
        loop {
            let again = clock::now() + pause;
            let last_chance = again > job.release + slack;
            match self.replica.open(job.number, self.voter, last_chance) {
                Opening::NotYet if !last_chance => thread::sleep_until(again),
                opening => return opening,
            }
        }
    }

    fn epoch(&self, job: &Job) -> u32 {
        job.number as u32
    }

    fn ballot_deadline(&self, job: &Job) -> Instant {
        job.release + Duration::from_nanos(self.set.ballot_deadline)
    }

    fn next_release(&self, job: &Job) -> Instant {
        job.release + Duration::from_nanos(self.set.period)
    }

    /// The job, its commit and its ballot, all before the ballot deadline.
    fn run_job(&mut self, process: &mut Process, job: &Job, release: &Release) {
        if self.outside {
            self.outside = false;
            trace::record(Event::Rejoin {
                set: self.number,
                epoch: self.epoch(job),
            });
        }
        release.fill(process.input_mut());
        process.begin_job(job.number);
        let deadline = self.ballot_deadline(job);
        let outcome = process.run_until(deadline);
        if outcome == Outcome::JobDone && self.commit(process, job) {
            job.complete();
            return;
        }
        job.missed();
        self.replica.cancel();
        match outcome {
            Outcome::Fault(fault) => {
                trace::record(Event::Fault {
                    class: fault.vector as u16,
                    detail: u32::from(thread::current().0),
                    address: fault.address,
                });
                // There may be time left to ask for repair in this very epoch.
                self.ask(process, job);
            }
            Outcome::Exit(_) => self.ask(process, job),
            Outcome::JobDone | Outcome::DeadlineReached => {}
        }
    }

    /// Hashes what the job wrote, scrubs, and casts; false if the deadline comes first.
    fn commit(&mut self, process: &mut Process, job: &Job) -> bool {
        let deadline = self.ballot_deadline(job);
        if self.set.voting != Voting::Unprotected {
            let first = self.replica.scrub_position();
            trace::record(Event::Scrub {
                set: self.number,
                first,
            });
            self.replica.begin_commit();
            loop {
                match self.replica.commit_step(process, self.own) {
                    CommitStep::Done => break,
                    CommitStep::Hashed(page) | CommitStep::Scrubbed { page, sound: false } => {
                        trace::record(Event::Hash {
                            set: self.number,
                            page,
                        });
                    }
                    _ => {}
                }
                if clock::now() > deadline {
                    return false;
                }
            }
        }
        page_of_words(process.input_mut(), &mut self.scratch);
        let input = self.hasher.leaf(&self.scratch);
        let output = process.output();
        let count = tern_abi::system_call::MESSAGE_WORDS;
        let mut words = [0; tern_abi::system_call::MESSAGE_WORDS];
        words.copy_from_slice(&output[..count]);
        if clock::now() > deadline || self.replica.cast(input, &words, self.own).is_none() {
            return false;
        }
        trace::record(Event::Ballot {
            set: self.number,
            epoch: self.epoch(job),
        });
        true
    }

    /// An epoch outside the set: no job.
    fn recover(&mut self, process: &mut Process, job: &Job) {
        self.outside = true;
        self.ask(process, job);
        job.complete();
    }

    /// Hashes what must be hashed and asks for repair, if that is done in time.
    fn ask(&mut self, process: &mut Process, job: &Job) {
        let deadline = self.ballot_deadline(job);
        let next = self.next_release(job);
        while clock::now() <= deadline && self.leaves_budget(next) {
            match self.replica.hash_step(process, self.own) {
                Some(page) => trace::record(Event::Hash {
                    set: self.number,
                    page,
                }),
                None => break,
            }
        }
        if clock::now() <= deadline && self.replica.cast_recovering(self.own).is_some() {
            trace::record(Event::Ballot {
                set: self.number,
                epoch: self.epoch(job),
            });
        }
    }

    /// From the verdict to the next release: learns it, and does its part in a repair.
    fn after_verdict(&mut self, process: &mut Process, job: &Job) {
        let next = self.next_release(job);
        let verdict = Duration::from_nanos(self.set.verdict_deadline);
        let pause = next.saturating_since(job.release + verdict).as_nanos() / REPAIR_LOOKS;
        let pause = Duration::from_nanos(pause.max(1));
        thread::sleep_until(job.release + verdict);
        let duty = loop {
            match self.replica.close(job.number, self.voter) {
                Closing::Work(duty) => break duty,
                Closing::NotYet if clock::now() + pause < next => {
                    thread::sleep_until(clock::now() + pause);
                }
                Closing::Stopped => {
                    let (set, epoch) = (self.number, self.epoch(job));
                    trace::record(Event::Stop { set, epoch });
                    return;
                }
                Closing::NotYet | Closing::Idle => {
                    self.outside |= !self.replica.is_member();
                    return;
                }
            }
        };
        self.outside |= !self.replica.is_member();
        let plan = self.replica.plan().filter(|_| duty == Duty::Target);
        if let Some(plan) = plan {
            let (set, differing) = (self.number, plan.differing);
            trace::record(Event::RepairStart { set, differing });
        }
        let (copied, end) = self.repair(process, duty, next, pause);
        if plan.is_some() {
            let result = match end {
                Some(RepairEnd::Complete) => RepairResult::Done,
                Some(RepairEnd::OwnFault(_)) => RepairResult::Failed,
                Some(RepairEnd::Incomplete) | None => RepairResult::MoreRounds,
            };
            let set = self.number;
            trace::record(Event::RepairEnd {
                set,
                copied,
                result,
            });
        }
    }

    /// Whether the next job, released at `next`, will find its budget.
    fn leaves_budget(&self, next: Instant) -> bool {
        thread::budget_by(next) >= self.wcet
    }

    /// Repairs until it ends, the next job's budget would be touched, or its release
    /// comes. Returns the pages taken over, and how it ended if it did.
    fn repair(
        &mut self,
        process: &mut Process,
        duty: Duty,
        next: Instant,
        pause: Duration,
    ) -> (u32, Option<RepairEnd>) {
        let mut copied = 0;
        // After the last page comes a step that only says how it ended.
        let mut last = false;
        loop {
            // Looks are a pause apart from instant to instant, however long one is held up:
            // the bound on repairs relies on it.
            let looks = clock::now();
            if looks >= next || !(last || self.leaves_budget(next)) {
                break;
            }
            let before = self.replica.repaired();
            let step = self.replica.repair_step(
                process,
                &mut self.scratch,
                self.voter,
                &self.peers,
                self.own,
            );
            match step {
                RepairStep::Ended(end) => return (copied, Some(end)),
                RepairStep::Waiting { .. } => {
                    let again = looks + pause;
                    if again >= next {
                        break;
                    }
                    thread::sleep_until(again);
                }
                RepairStep::Page { page, left } => {
                    last = left == 0;
                    let set = self.number;
                    match duty {
                        Duty::Rehash => trace::record(Event::Hash { set, page }),
                        Duty::Donor => trace::record(Event::PageGiven { set, page }),
                        Duty::Witness => trace::record(Event::PageConfirmed { set, page }),
                        Duty::Target if self.replica.repaired() > before => {
                            copied += 1;
                            trace::record(Event::RepairPage { set, page });
                        }
                        Duty::Target => {}
                    }
                }
            }
        }
        (copied, None)
    }
}
