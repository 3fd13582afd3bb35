//! The task of a voter: once an epoch it votes, freezes the next input, publishes the verdict, and
//! sends the agreed output to the device.
//!
//! An arbitrator's verdict is the set's, and its output goes out at once. Where each replica's
//! sandbox has a voter, each publishes its own verdict, and once those are due acts on the one that
//! most of them say: who has the device by that sends the output. The next vote begins with that
//! verdict, too; until then it stands, with the input that was frozen beside it, in the half of the
//! voter's channel that is open. So a voter has no words of its own that outlive an epoch.
//!
//! It votes on an epoch while that lasts. A voter that comes later passes the epoch over: the
//! replicas hold what they have, and the next vote finds them agreed.
use tern_config::{ReplicaSet, Thread};
use tern_plant::frames::{self, Command, Decoder, Frame, MAX_FRAME, Status};
use tern_plant::tag::{Challenge, Tags};
use tern_recovery::Progress;
use tern_trace::{Event, VoteOutcome, VoteParties, WithheldReason};
use tern_units::{Instant, StateWords};
use tern_vote::{
    MAX_REPLICAS, Members, Outcome, Plan, Reader, Release, ReplicaLayout, Seat, Set, Standing,
    Tagged, Verdict, Vote, VoteStep, VoterLayout,
};

use crate::copies::Copies;
use crate::description::Description;
use crate::epoch::Times;
use crate::input::{input_after, next_input};
use crate::next::{Job, Next, VoterChannels, VoterEnv};

/// Steps of a descent between two looks at the time.
const STEPS: u32 = 4;

/// Where a task is in its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It votes, and freezes the next input.
    Vote,
    /// It compares leaves, and publishes the verdict.
    Compare,
    /// It waits until the verdicts of all voters are due.
    Await,
    /// It sends the output.
    Send,
    /// It has nothing to do.
    Over,
}

impl Phase {
    const fn from_word(word: u64) -> Self {
        match word {
            0 => Self::Vote,
            1 => Self::Compare,
            2 => Self::Await,
            3 => Self::Send,
            _ => Self::Over,
        }
    }
}

/// The task of a set's voter.
#[derive(Clone, Debug)]
pub struct VoterTask {
    copies: Copies<{ Description::WORDS }>,
    /// What the copies said when the task last had to wait.
    description: Description,
    /// Whether the last poll asked for another at once.
    is_busy: u64,
    epoch: u64,
    phase: u64,
    vote: Vote,
    decoder: Decoder,
}

/// The constants of one poll.
struct Facts {
    description: Description,
    set: Set,
    times: Times,
    layout: VoterLayout,
}

impl VoterTask {
    const NO_EPOCH: u64 = u64::MAX;

    /// The task of a voter of set `number`, in the thread that the description gives it. `place`
    /// is the number of the replica in its sandbox, if there is one.
    #[must_use]
    pub fn new(number: u32, set: &ReplicaSet, thread: &Thread, place: u8) -> Self {
        let description = Description::new(number, set, thread, place, 0);
        Self {
            copies: Copies::new(description.0),
            description,
            is_busy: 0,
            epoch: Self::NO_EPOCH,
            phase: Phase::Over as u64,
            vote: Vote::default(),
            decoder: Decoder::new(),
        }
    }

    /// Does the next bounded piece of work, at `now`.
    pub fn poll<E: VoterEnv>(
        &mut self,
        now: Instant,
        channels: &VoterChannels<'_>,
        env: &mut E,
    ) -> Next {
        // From step to step nothing is asked of the copies: at most an epoch is at stake.
        let was_busy = self.is_busy != 0;
        if !was_busy {
            self.description = Description(self.copies.read());
        }
        let Some(layout) = VoterLayout::new(channels.own.len()) else {
            // Whoever made the channel too small finds no verdict in it.
            return Next::SleepUntil(Instant::NEVER);
        };
        let facts = Facts {
            description: self.description,
            set: self.description.set(),
            times: self.description.times(),
            layout,
        };

        let next = match facts.times.voted_on_at(now) {
            None => Next::Release(Self::job(&facts, 0)),
            Some(epoch) => {
                if self.epoch != epoch {
                    self.enter(&facts, epoch, env);
                }
                self.go_on(&facts, now, channels, env)
            }
        };
        let waits = matches!(next, Next::SleepUntil(_) | Next::Release(_));
        if waits && was_busy {
            // How long must not follow from a word that has changed meanwhile.
            self.is_busy = 0;
            return Next::Again;
        }
        self.is_busy = u64::from(next == Next::Again);
        next
    }

    /// The ballots of a new epoch are due, whatever was left undone of the last one's.
    fn enter<E: VoterEnv>(&mut self, facts: &Facts, epoch: u64, env: &mut E) {
        env.released(&Self::job(facts, epoch));
        self.epoch = epoch;
        self.phase = Phase::Vote as u64;
    }

    fn job(facts: &Facts, epoch: u64) -> Job {
        let release = facts.times.ballots_due(epoch);
        Job {
            number: epoch,
            release,
            deadline: release.saturating_add(facts.description.deadline()),
        }
    }

    const fn number(&self) -> u16 {
        self.description.number()
    }

    fn go_on<E: VoterEnv>(
        &mut self,
        facts: &Facts,
        now: Instant,
        channels: &VoterChannels<'_>,
        env: &mut E,
    ) -> Next {
        let is_late = now >= facts.times.next_release(self.epoch);
        match Phase::from_word(self.phase) {
            // Its ballots may be written over any time now.
            Phase::Vote if is_late => {
                self.phase = Phase::Over as u64;
                env.missed(&Self::job(facts, self.epoch));
                match facts.description.seat() {
                    Seat::Arbitrator => self.withhold(WithheldReason::Late, env),
                    // It is one of several, and may not have the device.
                    Seat::Member(_) | Seat::Lockstep { .. } => {}
                }
                Next::Again
            }
            Phase::Vote => {
                if !env.close_ballots(self.epoch) {
                    // What others count may differ from what is here.
                    self.phase = Phase::Await as u64;
                    env.missed(&Self::job(facts, self.epoch));
                    return Next::Again;
                }
                self.vote(facts, channels, env);
                self.phase = Phase::Compare as u64;
                self.compare(facts, channels, env)
            }
            Phase::Compare => {
                if is_late {
                    self.vote.give_up_repair();
                }
                self.compare(facts, channels, env)
            }
            Phase::Await => {
                let due = facts.times.verdict_due(self.epoch);
                match facts.description.seat() {
                    Seat::Member(_) | Seat::Lockstep { .. } if now < due => Next::SleepUntil(due),
                    Seat::Member(_) | Seat::Lockstep { .. } | Seat::Arbitrator => {
                        self.phase = Phase::Send as u64;
                        self.send(facts, now, channels, env)
                    }
                }
            }
            Phase::Send => self.send(facts, now, channels, env),
            Phase::Over => Next::Release(Self::job(facts, self.epoch.saturating_add(1))),
        }
    }

    /// Votes, and freezes the input of the next epoch.
    fn vote<E: VoterEnv>(&mut self, facts: &Facts, channels: &VoterChannels<'_>, env: &mut E) {
        let (set, epoch, seat) = (&facts.set, self.epoch, facts.description.seat());
        let last = match seat {
            Seat::Arbitrator => channels.own.newest(),
            Seat::Member(_) | Seat::Lockstep { .. } => channels.own.open().reader(),
        };
        let before = Verdict::read(set, &facts.layout, last).ok();
        let before = before.filter(|before| match seat {
            Seat::Arbitrator => true,
            // All voters know of the same verdict before, or of none.
            Seat::Member(_) | Seat::Lockstep { .. } => before.epoch.checked_add(1) == Some(epoch),
        });
        let cast = ballots(channels);
        let ballots = &cast[..channels.ballots.len().min(MAX_REPLICAS)];
        let rules = facts.description.rules();
        self.vote = Vote::on(set, &rules, seat, epoch, ballots, before);

        let has_device = match seat {
            Seat::Arbitrator => true,
            Seat::Member(place) => self.vote.owner_before(set, &facts.layout) == Some(place),
            Seat::Lockstep { place, device } => place == device,
        };
        if !has_device {
            return;
        }
        let input = next_input(set, &facts.times, epoch, &mut self.decoder, last, env);
        input.publish(set, &facts.layout, channels.own.open());
        env.record(Event::Input {
            set: self.number(),
            epoch: input.epoch as u32,
            fresh: input.fresh,
        });
    }

    /// Does a bounded piece of what leads to the verdict.
    fn compare<E: VoterEnv>(
        &mut self,
        facts: &Facts,
        channels: &VoterChannels<'_>,
        env: &mut E,
    ) -> Next {
        let (own, replicas) = (channels.own, channels.replicas);
        for _ in 0..STEPS {
            let step = self
                .vote
                .step(&facts.set, self.epoch, replicas, &facts.layout, own.open());
            match step {
                VoteStep::More(_) => continue,
                // From here on it can be read, and what it says with the input is for all.
                VoteStep::Done(verdict) if env.seal(self.epoch) => match facts.description.seat() {
                    Seat::Arbitrator => {
                        let input = input_of(facts, &verdict, channels, env);
                        self.record(facts, &verdict, input.as_ref(), env);
                    }
                    Seat::Member(_) | Seat::Lockstep { .. } => {
                        env.completed(&Self::job(facts, self.epoch));
                    }
                },
                VoteStep::Done(_) | VoteStep::Void => {
                    env.missed(&Self::job(facts, self.epoch));
                }
            }
            self.phase = Phase::Await as u64;
            break;
        }
        Next::Again
    }

    fn record<E: VoterEnv>(
        &self,
        facts: &Facts,
        verdict: &Verdict,
        input: Option<&Release>,
        env: &mut E,
    ) {
        let bad = bad_tags(input);
        let late = |standing: &Standing| matches!(standing, Standing::Timeout | Standing::Late);
        let outcome = match verdict.outcome {
            Outcome::Unanimous if bad == Members::NONE => VoteOutcome::Unanimous,
            Outcome::Unanimous => VoteOutcome::Minority,
            Outcome::Majority if verdict.standings.iter().any(late) => VoteOutcome::Timeout,
            Outcome::Majority => VoteOutcome::Minority,
            Outcome::Held => VoteOutcome::Held,
            Outcome::Lost | Outcome::Stopped => VoteOutcome::NoMajority,
        };
        let nobody = VoteParties::NOBODY;
        let party = |of: fn(Plan) -> u8| verdict.plan.map_or(nobody, |plan| u16::from(of(plan)));
        let (set, epoch) = (self.number(), verdict.epoch as u32);
        env.record(Event::Vote {
            set,
            epoch,
            outcome,
            parties: VoteParties {
                faulty: u32::from(verdict.faulty().0 | bad.0),
                donor: party(|plan| plan.donor),
                witness: party(|plan| plan.witness),
            },
        });
        let first = verdict.lost == facts.description.rules().lost_epochs;
        if verdict.outcome == Outcome::Stopped && first {
            env.record(Event::Stop { set, epoch });
        }
    }

    /// Ends the epoch by the verdict that stands: who has the device sends the output that was
    /// agreed on, or none, with how the vote went.
    fn send<E: VoterEnv>(
        &mut self,
        facts: &Facts,
        now: Instant,
        channels: &VoterChannels<'_>,
        env: &mut E,
    ) -> Next {
        let verdict = match env.close_verdicts(self.epoch) {
            true => channels.voters.verdict(&facts.set),
            false => None,
        };
        let verdict = verdict.filter(|verdict| verdict.epoch == self.epoch);
        let (Seat::Member(place) | Seat::Lockstep { place, .. }) = facts.description.seat() else {
            let input = verdict.and_then(|verdict| input_of(facts, &verdict, channels, env));
            self.send_command(facts, now, (verdict, input), channels, env);
            self.phase = Phase::Over as u64;
            env.completed(&Self::job(facts, self.epoch));
            return Next::Again;
        };

        // Where no verdict was agreed on nobody acts.
        let owner = verdict.and_then(|verdict| verdict.owner);
        let is_owner = owner.is_some_and(|owner| owner.place == place);
        let next = facts.times.next_release(self.epoch);
        if is_owner && now < next && !env.take_device(self.epoch) {
            let again = now.saturating_add(facts.times.pause());
            return Next::SleepUntil(again.min(next));
        }
        self.phase = Phase::Over as u64;
        let Some(verdict) = verdict else {
            return Next::Again;
        };
        let input = input_of(facts, &verdict, channels, env);
        self.record(facts, &verdict, input.as_ref(), env);
        if is_owner {
            self.send_command(facts, now, (Some(verdict), input), channels, env);
        }
        // What the next vote begins with.
        let open = channels.own.open();
        verdict.publish(&facts.set, &facts.layout, open);
        if let Some(input) = input {
            input.publish(&facts.set, &facts.layout, open);
        }
        Next::Again
    }

    /// Sends the output of a verdict, or none, with what the input beside it says. What went wrong
    /// since it was published costs the output.
    fn send_command<E: VoterEnv>(
        &self,
        facts: &Facts,
        now: Instant,
        (verdict, input): (Option<Verdict>, Option<Release>),
        channels: &VoterChannels<'_>,
        env: &mut E,
    ) {
        let is_late = now >= facts.times.next_release(self.epoch);
        let mut command = Command {
            epoch: self.epoch,
            status: Status {
                outcome: frames::Outcome::Lost,
                replicas: facts.set.replicas,
                ..Status::default()
            },
            ..Command::default()
        };
        if let Some(verdict) = verdict {
            command.status = self.status(facts, &verdict, input.as_ref(), channels);
            let output = self.vote.output();
            let digest = output.digest(&facts.set, self.epoch);
            match digest {
                _ if !verdict.releases() => {}
                _ if is_late => self.withhold(WithheldReason::Late, env),
                Some(digest) => {
                    command.count = output.words().len() as u8;
                    command.words[..output.words().len()].copy_from_slice(output.words());
                    command.digest = digest;
                    (command.challenge, command.tags) = self.tags(facts, &verdict, channels);
                }
                // No majority cast what is here: the epoch ends without its output.
                None => {
                    match facts.description.seat() {
                        Seat::Arbitrator => env.missed(&Self::job(facts, self.epoch)),
                        // Its job was complete with its verdict.
                        Seat::Member(_) | Seat::Lockstep { .. } => {}
                    }
                    self.withhold(WithheldReason::Digest, env);
                }
            }
        } else {
            self.withhold(WithheldReason::NoVerdict, env);
        }
        let mut bytes = [0; MAX_FRAME];
        let length = Frame::Command(command).encode(&mut bytes);
        env.send(&bytes[..length]);
    }

    /// Records that the epoch ends without its output.
    fn withhold<E: VoterEnv>(&self, reason: WithheldReason, env: &mut E) {
        let (set, epoch) = (self.number(), self.epoch as u32);
        env.record(Event::Withheld { set, epoch, reason });
    }

    /// Returns what the members of the majority answer, with their tags of it. A member that
    /// names another challenge than most is one whose tag is bad, and no more.
    fn tags(
        &self,
        facts: &Facts,
        verdict: &Verdict,
        channels: &VoterChannels<'_>,
    ) -> (Challenge, Tags) {
        let mut said = [None; MAX_REPLICAS];
        for replica in verdict.members(Standing::Agreed).iter() {
            let channel = channels.ballots.get(usize::from(replica));
            let tagged = channel.and_then(|channel| {
                Tagged::read(&facts.set, replica, self.epoch, channel.newest())
            });
            said[usize::from(replica)] = tagged;
        }
        let said = || said.iter().flatten();
        let supporters = |one: &Tagged| {
            let same = said().filter(|other| other.challenge == one.challenge);
            same.count()
        };
        let most = said().max_by_key(|tagged| supporters(tagged));
        let mut tags = Tags::NONE;
        for tagged in said() {
            tags.put(tagged.replica, tagged.tag);
        }
        (
            most.map(|tagged| tagged.challenge).unwrap_or_default(),
            tags,
        )
    }

    fn status(
        &self,
        facts: &Facts,
        verdict: &Verdict,
        input: Option<&Release>,
        channels: &VoterChannels<'_>,
    ) -> Status {
        let bad = bad_tags(input);
        let is_voted = facts.description.voting().has_verdicts();
        let outcome = match verdict.outcome {
            Outcome::Stopped => frames::Outcome::Stopped,
            Outcome::Lost => frames::Outcome::Lost,
            Outcome::Held => frames::Outcome::Held,
            Outcome::Unanimous | Outcome::Majority if !is_voted => frames::Outcome::Unprotected,
            Outcome::Unanimous if bad == Members::NONE => frames::Outcome::Unanimous,
            Outcome::Unanimous | Outcome::Majority => frames::Outcome::Majority,
        };
        let late = verdict.members(Standing::Timeout).0 | verdict.members(Standing::Late).0;
        let behind = verdict
            .epoch
            .saturating_add(1)
            .saturating_sub(verdict.state.jobs_until);
        Status {
            outcome,
            replicas: facts.set.replicas,
            faulty: verdict.faulty().0 | bad.0,
            timeout: late,
            recovering: verdict.members(Standing::Recovering).0,
            target: verdict.plan.map(|plan| plan.target),
            donor: verdict.plan.map(|plan| plan.donor),
            witness: verdict.plan.map(|plan| plan.witness),
            round: verdict.plan.map_or(0, |plan| plan.round as u16),
            behind: behind.min(u64::from(u16::MAX)) as u16,
            repaired: verdict
                .plan
                .map_or(0, |plan| repaired(&facts.set, plan.target, channels)),
            differing: verdict.plan.map_or(0, |plan| plan.differing),
            stale: input.map_or(0, |input| input.stale.min(u64::from(u32::MAX)) as u32),
        }
    }
}

/// Returns where the ballots of an epoch are, once it is decided who has cast one in time.
fn ballots<'a>(channels: &VoterChannels<'a>) -> [Reader<'a>; MAX_REPLICAS] {
    let mut ballots = [Reader::new(&[]); MAX_REPLICAS];
    for (ballot, channel) in ballots.iter_mut().zip(channels.ballots) {
        *ballot = channel.newest();
    }
    ballots
}

/// Returns the input of the epoch after a verdict.
fn input_of<E: VoterEnv>(
    facts: &Facts,
    verdict: &Verdict,
    channels: &VoterChannels<'_>,
    env: &mut E,
) -> Option<Release> {
    let (place, of) = (facts.description.replica(), (&facts.set, &facts.times));
    input_after(of, verdict, place, &channels.voters, env)
}

/// Returns the replicas whose tags were bad, as the actuator says in the input that was frozen
/// beside the verdict: a member of the majority that cannot say so is faulty too.
fn bad_tags(input: Option<&Release>) -> Members {
    let fresh = input.filter(|input| input.fresh);
    Members(fresh.map_or(0, |input| input.bad.0))
}

/// Returns how many pages the target says it has taken over.
fn repaired(set: &Set, target: u8, channels: &VoterChannels<'_>) -> u32 {
    let Some(channel) = channels.replicas.get(usize::from(target)) else {
        return 0;
    };
    ReplicaLayout::new(channel.len())
        .and_then(|layout| Progress::read(set, &layout, *channel))
        .map_or(0, |progress| progress.repaired)
}

impl StateWords for VoterTask {
    fn visit(&mut self, visitor: &mut dyn FnMut(&'static str, &mut u64)) {
        self.copies.visit(visitor);
        for word in &mut self.description.0 {
            visitor("description", word);
        }
        visitor("is_busy", &mut self.is_busy);
        visitor("epoch", &mut self.epoch);
        visitor("phase", &mut self.phase);
        self.vote.visit(visitor);
        self.decoder.visit(visitor);
    }
}
