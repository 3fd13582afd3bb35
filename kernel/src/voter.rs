//! The arbitrator's thread: once an epoch it votes, freezes the next input, publishes
//! the verdict, and sends the agreed output to the device.
use crate::job::Releases;
use crate::replica::set_of;
use crate::serial::{self, NoDevice, SerialPort};
use crate::{channel, description, say, trace};
use alloc::vec::Vec;
use tern_abi::plant::{self, Command, Decoder, Frame, MAX_FRAME, Sample, Status};
use tern_abi::system_call::MESSAGE_WORDS;
use tern_config::{ReplicaSet, Voting};
use tern_recovery::Progress;
use tern_trace::{Event, VoteOutcome, VoteParties};
use tern_units::{Duration, Instant};
use tern_vote::{
    Decision, Outcome, Reader, Release, ReplicaLayout, Set, Standing, Verdict, Voter, VoterLayout,
    VoterStep, Writer,
};

/// Epochs of repair in a row after which a replica is abandoned.
const MOST_ROUNDS: u32 = 1000;

/// How often a frame is looked for in an epoch: in lock-step one comes.
const MOST_FRAMES: usize = 8;

const _: () = assert!(tern_vote::MAX_REPLICAS == tern_config::limits::MAX_REPLICAS);

/// What the voter of a set works with.
#[derive(Debug)]
pub struct VoterThread {
    description: &'static ReplicaSet,
    number: u16,
    set: Set,
    voter: Voter,
    layout: VoterLayout,
    own: Writer<'static>,
    ballots: Vec<Reader<'static>>,
    device: Option<Device>,
    stale: u32,
}

/// The device's end of the exchange.
#[derive(Debug)]
struct Device {
    port: &'static SerialPort,
    decoder: Decoder,
    newest: Sample,
}

impl VoterThread {
    /// Prepares the voter of set `number`.
    ///
    /// # Panics
    /// During boot, if the set lacks a channel or its device a driver: the message says so.
    #[must_use]
    pub fn prepare(number: u32) -> Self {
        let description = &description::system().replica_sets[number as usize];
        let name = &description.name;
        let own = description.voter_channel.and_then(channel::writer);
        let ballots = description.replica_channels.iter();
        let ballots = ballots
            .map(|index| channel::reader(*index))
            .collect::<Option<Vec<_>>>();
        let (Some(own), Some(ballots)) = (own, ballots) else {
            panic!("the voter of replica set \"{name}\" cannot see the set's channels");
        };
        let Some(layout) = VoterLayout::new(own.reader().len()) else {
            panic!("the voter's channel of replica set \"{name}\" is too small");
        };
        let device = description
            .device
            .map(|device| match serial::serial_port(device) {
                Some(port) => Device {
                    port,
                    decoder: Decoder::new(),
                    newest: Sample::default(),
                },
                None => panic!("the device of replica set \"{name}\" has no driver in its sandbox"),
            });
        let set = set_of(number, description);
        Self {
            description,
            number: number as u16,
            set,
            voter: Voter::new(set, MOST_ROUNDS),
            layout,
            own,
            ballots,
            device,
            stale: 0,
        }
    }

    /// One epoch after the other.
    pub fn run(mut self, thread: &tern_config::Thread, records_exits: bool) -> ! {
        let mut releases = Releases::of(thread);
        loop {
            let job = releases.next();
            self.epoch(job.number);
            job.complete();
            if records_exits {
                trace::record_exits();
            }
        }
    }

    fn epoch(&mut self, epoch: u64) {
        let was_stopped = self.voter.is_stopped();
        let decision = self.voter.begin(epoch, &self.ballots);
        self.freeze_input(epoch);
        let verdict = loop {
            match self.voter.step(&self.ballots, &self.layout, self.own) {
                Some(VoterStep::More(_)) => {}
                Some(VoterStep::Done(verdict)) => break verdict,
                None => return,
            }
        };
        self.record(&verdict);
        self.send(&decision, &verdict);
        if self.voter.is_stopped() && !was_stopped {
            let name = &self.description.name;
            say!("replica set {name}: no majority in epoch {epoch}, stopped");
        }
    }

    /// Freezes the input of the next epoch: the newest sample. It is fresh if it is the
    /// one that the last command asked for.
    fn freeze_input(&mut self, epoch: u64) {
        let (sample, fresh) = match &mut self.device {
            Some(device) => {
                device.receive(epoch);
                (device.newest, epoch > 0 && device.newest.number == epoch)
            }
            None => (Sample::default(), false),
        };
        // Nothing was asked for before the first command.
        self.stale = self.stale.saturating_add(u32::from(!fresh && epoch > 0));
        let next = epoch + 1;
        let period = Duration::from_nanos(self.description.period);
        Release {
            epoch: next,
            time: Instant::EPOCH.saturating_add(period.saturating_mul(next)),
            fresh,
            sample: sample.number,
            payload: sample.words,
        }
        .publish(&self.set, &self.layout, self.own);
        trace::record(Event::Input {
            set: self.number,
            epoch: next as u32,
            fresh,
        });
    }

    fn record(&self, verdict: &Verdict) {
        let timeout = verdict
            .standings
            .iter()
            .any(|standing| matches!(standing, Standing::Timeout | Standing::Late));
        let outcome = match verdict.outcome {
            Outcome::Unanimous => VoteOutcome::Unanimous,
            Outcome::Majority if timeout => VoteOutcome::Timeout,
            Outcome::Majority => VoteOutcome::Minority,
            Outcome::NoMajority | Outcome::Stopped => VoteOutcome::NoMajority,
        };
        let nobody = VoteParties::NOBODY;
        let donor = verdict.plan.map_or(nobody, |plan| u16::from(plan.donor));
        let witness = verdict.plan.map_or(nobody, |plan| u16::from(plan.witness));
        let faulty = u32::from(verdict.faulty().0);
        let (set, epoch) = (self.number, verdict.epoch as u32);
        let parties = VoteParties {
            faulty,
            donor,
            witness,
        };
        trace::record(Event::Vote {
            set,
            epoch,
            outcome,
            parties,
        });
        if verdict.outcome == Outcome::NoMajority {
            trace::record(Event::Stop { set, epoch });
        }
    }

    /// Sends the output that was agreed on, or none, with how the vote went.
    fn send(&mut self, decision: &Decision, verdict: &Verdict) {
        let status = self.status(verdict);
        let Some(device) = &mut self.device else {
            return;
        };
        let mut command = Command {
            epoch: verdict.epoch,
            status,
            ..Command::default()
        };
        if let Some(output) = decision.output() {
            command.count = output.len().min(MESSAGE_WORDS) as u8;
            command.words[..output.len()].copy_from_slice(output);
            command.digest = decision.agreed.map_or(0, |ballot| ballot.digest);
        }
        if device.send(&Frame::Command(command)) == Err(NoDevice) {
            // From now on every input is stale. The driver has said why.
            self.device = None;
        }
    }

    fn status(&self, verdict: &Verdict) -> Status {
        let unprotected = self.description.voting == Voting::Unprotected;
        let outcome = match verdict.outcome {
            Outcome::NoMajority | Outcome::Stopped => plant::Outcome::Stopped,
            _ if unprotected => plant::Outcome::Unprotected,
            Outcome::Unanimous => plant::Outcome::Unanimous,
            Outcome::Majority => plant::Outcome::Majority,
        };
        let late = verdict.members(Standing::Timeout).0 | verdict.members(Standing::Late).0;
        Status {
            outcome,
            replicas: self.set.replicas,
            faulty: verdict.faulty().0,
            timeout: late,
            recovering: verdict.members(Standing::Recovering).0,
            target: verdict.plan.map(|plan| plan.target),
            donor: verdict.plan.map(|plan| plan.donor),
            witness: verdict.plan.map(|plan| plan.witness),
            round: verdict.plan.map_or(0, |plan| plan.round as u16),
            repaired: verdict.plan.map_or(0, |plan| self.repaired(plan.target)),
            differing: verdict.plan.map_or(0, |plan| plan.differing),
            stale: self.stale,
        }
    }

    /// Pages that the target says it has taken over.
    fn repaired(&self, target: u8) -> u32 {
        let Some(channel) = self.ballots.get(usize::from(target)) else {
            return 0;
        };
        ReplicaLayout::new(channel.len())
            .and_then(|layout| Progress::read(&self.set, &layout, *channel))
            .map_or(0, |progress| progress.repaired)
    }
}

impl Device {
    /// Takes the newest sample that has come, up to sample `asked`.
    fn receive(&mut self, asked: u64) {
        // Bounded: a device that never stops talking does not hold up the vote.
        for _ in 0..MOST_FRAMES {
            if let Some(Frame::Sample(sample)) = self.port.receive(&mut self.decoder)
                && sample.replaces(&self.newest, asked)
            {
                self.newest = sample;
            }
        }
    }

    /// Sends a frame, if there is a device.
    fn send(&mut self, frame: &Frame) -> Result<(), NoDevice> {
        let mut bytes = [0; MAX_FRAME];
        let length = frame.encode(&mut bytes);
        // Where the queue has no room for all of it, the device's decoder passes over the
        // piece: the next command is as good.
        self.port.send(&bytes[..length]).map(drop)
    }
}
