//! What one replica does from epoch to epoch: whether it may run, what it says, and
//! its part in repairs.
use crate::commit::{Commit, CommitStep, Rehash};
use crate::donor::Donor;
use crate::memory::{PageMemory, Published};
use crate::target::{Channels, Target};
use crate::witness::Witness;
use crate::{RepairEnd, RepairStep};
use tern_units::PageNumber;
use tern_vote::{
    Ballot, Leaf, LeafKind, Outcome, Page, Plan, Reader, Release, ReplicaLayout, Set, Standing,
    Verdict, VoterLayout, Writer, output_digest,
};

/// What a release asks of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Run the job with this input, then commit and cast.
    Run(Release),
    /// The last verdict or this epoch's input is not there: look again while there is
    /// still time for the job.
    NotYet,
    /// Do not run: hash what must be hashed, and ask for repair.
    Recover,
    /// The set has stopped; there is nothing left to do.
    Stopped,
}

/// What a verdict asks of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// The verdict on this epoch is not there: look again until the next release.
    NotYet,
    /// The set has stopped.
    Stopped,
    /// Work to be done by [`Replica::repair_step`] until the next release.
    Work(Duty),
    /// Nothing to do until the next release.
    Idle,
}

/// A replica's part in a repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// It gives its pages.
    Donor,
    /// It confirms them.
    Witness,
    /// It takes them.
    Target,
    /// It hashes all of its own.
    Rehash,
}

#[derive(Clone, Copy, Debug)]
enum Work {
    None,
    Donor(Donor, Plan),
    Witness(Witness),
    Target(Target, Plan),
    Rehash,
}

/// One replica of a set.
///
/// In each epoch: [`Replica::open`] at the release; if it says so, the job, then
/// [`Replica::commit_step`] to its end and [`Replica::cast`], or [`Replica::cancel`] if the
/// ballot deadline comes first; [`Replica::close`] once the verdict is due; and
/// [`Replica::repair_step`] until it ends or the next release comes.
#[derive(Debug)]
pub struct Replica<S> {
    number: u8,
    table: Published<S>,
    commit: Commit,
    rehash: Option<Rehash>,
    /// The epoch in which all pages were last hashed.
    rehashed: Option<u64>,
    epoch: u64,
    closed: Option<u64>,
    member: bool,
    stopped: bool,
    work: Work,
    plan: Option<Plan>,
    repaired: u32,
}

impl<S: AsRef<[u64]> + AsMut<[u64]>> Replica<S> {
    /// Replica `number` of the set with leaves in `storage`, a word for each page, that
    /// scrubs `scrub_per_epoch` pages in each commit. Before the first release,
    /// [`Replica::hash_step`] must have hashed all of its pages.
    #[must_use]
    pub fn new(set: Set, number: u8, hasher: LeafKind, storage: S, scrub_per_epoch: u32) -> Self {
        Self {
            number,
            table: Published::new(set, hasher, storage),
            commit: Commit::new(scrub_per_epoch),
            rehash: Some(Rehash::new()),
            rehashed: None,
            epoch: 0,
            closed: None,
            member: true,
            stopped: false,
            work: Work::None,
            plan: None,
            repaired: 0,
        }
    }

    /// Its leaves.
    #[must_use]
    pub const fn table(&self) -> &Published<S> {
        &self.table
    }

    /// Whether it may run at the next release, as far as it knows.
    #[must_use]
    pub const fn is_member(&self) -> bool {
        self.member && !self.stopped
    }

    /// Where its scrub stands.
    #[must_use]
    pub const fn scrub_position(&self) -> PageNumber {
        self.commit.scrub_position()
    }

    /// Pages that it has taken over in the repair under way, or in the last.
    #[must_use]
    pub const fn repaired(&self) -> u32 {
        self.repaired
    }

    /// The plan in the last verdict read, whoever it concerns.
    #[must_use]
    pub const fn plan(&self) -> Option<Plan> {
        self.plan
    }

    /// Opens an epoch at its release: ends what is left of the last one's repair.
    ///
    /// Who does not know where it stands, or what the input is, does not run: with
    /// `last_chance` the answer is final, else it may be [`Opening::NotYet`].
    pub fn open(&mut self, epoch: u64, voter: Reader<'_>, last_chance: bool) -> Opening {
        let unknown = epoch > 0
            && self.closed != Some(epoch - 1)
            && self.close(epoch - 1, voter) == Closing::NotYet;
        self.work = Work::None;
        self.epoch = epoch;
        if self.stopped {
            return Opening::Stopped;
        }
        if !self.member {
            return Opening::Recover;
        }
        let release = if unknown {
            None
        } else {
            self.release(epoch, voter)
        };
        match release {
            Some(release) => Opening::Run(release),
            None if !last_chance => Opening::NotYet,
            None => {
                self.member = false;
                Opening::Recover
            }
        }
    }

    /// The input of the epoch; that of the first is empty and needs no voter.
    fn release(&self, epoch: u64, voter: Reader<'_>) -> Option<Release> {
        if epoch == 0 {
            return Some(Release::default());
        }
        let layout = VoterLayout::new(voter.len())?;
        let release = Release::read(self.table.set(), &layout, voter).ok()?;
        (release.epoch == epoch).then_some(release)
    }

    /// Begins the commit of the job that has just ended.
    pub const fn begin_commit(&mut self) {
        self.commit.begin();
    }

    /// Does at most one page of the commit.
    pub fn commit_step(&mut self, memory: &mut impl PageMemory, own: Writer<'_>) -> CommitStep {
        self.commit.step(memory, &mut self.table, own)
    }

    /// Casts the ballot of a committed job: the leaf of its input page and its output.
    pub fn cast(&mut self, input: Leaf, output: &[u64], own: Writer<'_>) -> Option<Ballot> {
        self.publish(input, output, false, own)
    }

    /// Hashes one page of those that are to be hashed anew and returns it; `None` if
    /// there is none left.
    pub fn hash_step(
        &mut self,
        memory: &mut impl PageMemory,
        own: Writer<'_>,
    ) -> Option<PageNumber> {
        let hashed = self.rehash.as_mut()?.step(memory, &mut self.table, own);
        if hashed.is_none() {
            self.rehash = None;
            self.rehashed = Some(self.epoch);
        }
        hashed
    }

    /// Casts the ballot of a replica that asks for repair; `None` while pages are to be
    /// hashed anew.
    pub fn cast_recovering(&mut self, own: Writer<'_>) -> Option<Ballot> {
        if self.rehash.is_some() {
            return None;
        }
        self.publish(Leaf(0), &[], true, own)
    }

    fn publish(
        &self,
        input: Leaf,
        output: &[u64],
        recovering: bool,
        own: Writer<'_>,
    ) -> Option<Ballot> {
        let layout = ReplicaLayout::new(own.reader().len())?;
        let mut ballot = Ballot {
            replica: self.number,
            epoch: self.epoch,
            recovering,
            pages: self.table.pages(),
            summary: self.table.summary(),
            input,
            count: 0,
            output: Default::default(),
            digest: output_digest(self.table.set(), self.epoch, output),
        };
        let count = output.len().min(ballot.output.len());
        ballot.output[..count].copy_from_slice(&output[..count]);
        ballot.count = count as u8;
        ballot.cast(self.table.set(), &layout, own);
        Some(ballot)
    }

    /// Gives the job up: the ballot deadline has come before its ballot was cast. Its
    /// pages are in an unknown state and will be hashed anew.
    pub const fn cancel(&mut self) {
        self.member = false;
        self.rehash = Some(Rehash::new());
    }

    /// Reads the verdict on `epoch`, which decides whether the replica runs again and
    /// what it has to do until then.
    pub fn close(&mut self, epoch: u64, voter: Reader<'_>) -> Closing {
        let verdict = VoterLayout::new(voter.len())
            .and_then(|layout| Verdict::read(self.table.set(), &layout, voter).ok())
            .filter(|verdict| verdict.epoch == epoch);
        let Some(verdict) = verdict else {
            return Closing::NotYet;
        };
        self.closed = Some(epoch);
        self.plan = verdict.plan;
        self.work = Work::None;
        if matches!(verdict.outcome, Outcome::NoMajority | Outcome::Stopped) {
            self.stopped = true;
            return Closing::Stopped;
        }
        let standing = verdict.standings.get(usize::from(self.number));
        self.member = standing == Some(&Standing::Agreed) && self.rehash.is_none();
        if verdict.rehash.contains(self.number) && self.rehashed != Some(epoch) {
            self.rehash.get_or_insert_default();
        }
        self.take_duty(&verdict)
    }

    fn take_duty(&mut self, verdict: &Verdict) -> Closing {
        let epoch = verdict.epoch;
        let (work, duty) = match verdict.plan {
            _ if self.rehash.is_some() => (Work::Rehash, Duty::Rehash),
            Some(plan) if plan.donor == self.number => {
                (Work::Donor(Donor::new(epoch, &plan), plan), Duty::Donor)
            }
            Some(plan) if plan.witness == self.number => {
                (Work::Witness(Witness::new(epoch, &plan)), Duty::Witness)
            }
            Some(plan) if plan.target == self.number => {
                if plan.round == 0 {
                    self.repaired = 0;
                }
                let target = Target::new(epoch, &plan, verdict.summary, self.repaired);
                (Work::Target(target, plan), Duty::Target)
            }
            _ => return Closing::Idle,
        };
        self.work = work;
        Closing::Work(duty)
    }

    /// Does at most one page of the work that [`Replica::close`] gave out. `peers` are the
    /// replicas' channels by number. When a target's work ends complete, it is a member
    /// again and runs at the next release.
    pub fn repair_step(
        &mut self,
        memory: &mut impl PageMemory,
        scratch: &mut Page,
        voter: Reader<'_>,
        peers: &[Reader<'_>],
        own: Writer<'_>,
    ) -> RepairStep {
        let peer = |replica: u8| peers.get(usize::from(replica)).copied();
        let step = match &mut self.work {
            Work::None => return RepairStep::Ended(RepairEnd::Complete),
            Work::Donor(donor, plan) => peer(plan.target)
                .map(|target| donor.step(memory, &mut self.table, voter, target, own)),
            Work::Witness(witness) => Some(witness.step(memory, &mut self.table, voter, own)),
            Work::Target(target, plan) => {
                peer(plan.donor)
                    .zip(peer(plan.witness))
                    .map(|(donor, witness)| {
                        let channels = Channels {
                            voter,
                            donor,
                            witness,
                        };
                        let step = target.step(memory, &mut self.table, scratch, &channels, own);
                        self.repaired = target.progress().repaired;
                        self.member = step == RepairStep::Ended(RepairEnd::Complete);
                        step
                    })
            }
            Work::Rehash => Some(match self.hash_step(memory, own) {
                Some(page) => RepairStep::Page {
                    page,
                    left: self.table.pages() - page.0 - 1,
                },
                None => RepairStep::Ended(RepairEnd::Complete),
            }),
        };
        let step = step.unwrap_or(RepairStep::Ended(RepairEnd::Incomplete));
        if let RepairStep::Ended(_) = step {
            self.work = Work::None;
        }
        step
    }
}
