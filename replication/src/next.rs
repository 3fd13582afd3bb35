//! Between a task and who runs it: what the task is given, and what it asks for.
use tern_abi::system_call::MESSAGE_WORDS;
use tern_plant::frames::{Decoder, Frame};
use tern_plant::tag::{Measured, PlaceTag, Statement};
use tern_recovery::PageMemory;
use tern_trace::Event;
use tern_units::{Duration, Instant};
use tern_vote::{ChannelReader, ChannelWriter, Page, Reader, Release, Voters, Writer};

/// What is to be done until the task is polled again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Run the program's job of the input's epoch until it ends or `until`, at which it is
    /// taken out of the program; then poll with how it ended.
    RunJob {
        /// The frozen input.
        input: Release,
        /// The ballot deadline.
        until: Instant,
    },
    /// Nothing: poll again at once.
    Again,
    /// Sleep.
    SleepUntil(Instant),
    /// Sleep until the release of this job, which is recorded.
    Release(Job),
}

/// How a job of the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobEnd {
    /// It asked for its next release: its memory is at a job's boundary.
    Done,
    /// It did not: it was cancelled, raised an exception, or ended the program.
    CutOff,
}

/// A job of the task's thread. Jobs are numbered as the epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its number.
    pub number: u64,
    /// Its release.
    pub release: Instant,
    /// Its absolute deadline.
    pub deadline: Instant,
}

/// What every task needs.
pub trait Env {
    /// Records an event of the set.
    fn record(&mut self, event: Event);

    /// A job has begun. Its release is recorded if nothing was asked to sleep for it; jobs
    /// before it that were passed over, since their time had gone, were missed.
    fn released(&mut self, job: &Job);

    /// A job is complete, whether in time or not.
    fn completed(&mut self, job: &Job);

    /// A job will not be completed in time.
    fn missed(&mut self, job: &Job);

    /// Returns the budget that the task's server will have at `at` if it does not run from
    /// now on.
    fn budget_by(&self, at: Instant) -> Duration;

    /// Makes sure, once the verdict on `epoch` is due, that from here on no voter seals one who
    /// has not, so that whoever looks sees the same. Returns whether it is so; where one voter
    /// decides there is nothing to do.
    fn close_verdicts(&mut self, epoch: u64) -> bool;

    /// Whether the sensor has said so. Of a device that does not tag, all that came is taken. An
    /// arbitrator is never asked.
    fn is_measured(&mut self, measured: &Measured<'_>, tag: u64) -> bool;
}

/// What a replica's task needs beside that.
pub trait ReplicaEnv: Env {
    /// The program's pages.
    type Memory: PageMemory;

    /// Returns the program's pages, and a page to hold what is not to be trusted yet.
    fn memory(&mut self) -> (&mut Self::Memory, &mut Page);

    /// Returns the input page as it is now, after the job.
    fn input(&mut self) -> &Page;

    /// Returns the output of the last job.
    fn output(&self) -> [u64; MESSAGE_WORDS];

    /// Returns this place's tag of a statement; none of a set that does not tag.
    fn tag(&mut self, statement: &Statement<'_>) -> Option<PlaceTag>;

    /// Lets all voters read the ballot that was cast for `epoch`, and nobody change it any more;
    /// where ballots are not sealed there is nothing to do. Returns whether it is so.
    fn seal_ballot(&mut self, epoch: u64) -> bool;
}

/// What a voter's task needs beside that: the line to the device.
pub trait VoterEnv: Env {
    /// Takes the next frame that has come, if there is one. Where the line brings bytes,
    /// `decoder` finds the frames in them.
    fn receive(&mut self, decoder: &mut Decoder) -> Option<Frame>;

    /// Sends bytes. What there is no room for is lost: the far end passes over the piece.
    fn send(&mut self, bytes: &[u8]);

    /// Makes sure, once the ballots for `epoch` are due, that from here on nobody seals one who has
    /// not, so that all voters count the same. Returns whether it is so; where one voter counts
    /// them there is nothing to do.
    fn close_ballots(&mut self, epoch: u64) -> bool;

    /// Lets all replicas read what stands in the open half of the voter's channel, as `number`,
    /// and nobody change it any more; of a channel that is not sealed there is nothing to do.
    /// Returns whether it is so.
    fn seal(&mut self, number: u64) -> bool;

    /// Takes the device, which the agreed verdict on `epoch` gives to this voter's sandbox.
    /// Returns whether it has it; of a device that does not move, it always has.
    fn take_device(&mut self, epoch: u64) -> bool;
}

/// The channels that a replica sees.
#[derive(Clone, Copy, Debug)]
pub struct ReplicaChannels<'a> {
    /// Its own.
    pub own: Writer<'a>,
    /// Where it casts its ballot: in its own as well, or in one that is sealed.
    pub ballot: ChannelWriter<'a>,
    /// The voter's; where each replica's sandbox has one, all voters', by number.
    pub voters: Voters<'a>,
    /// All replicas', by number.
    pub replicas: &'a [Reader<'a>],
}

/// The channels that a voter sees.
#[derive(Clone, Copy, Debug)]
pub struct VoterChannels<'a> {
    /// Its own.
    pub own: ChannelWriter<'a>,
    /// All voters', its own among them, by number.
    pub voters: Voters<'a>,
    /// Where replicas cast their ballots, by number.
    pub ballots: &'a [ChannelReader<'a>],
    /// All replicas', by number.
    pub replicas: &'a [Reader<'a>],
}
