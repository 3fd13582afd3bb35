//! One run: a warmed-up set, the faults that strike it, and what comes of them.
use super::Row;
use super::class::Class;
use super::reference::{EPOCHS, Reference};
use super::strike::{Draw, Effect, SoFar, Strike};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tern_fault::outcome::OutcomeClass;
use tern_sim::sets::{Place, World};
use tern_trace::{Event, VoteOutcome};
use tern_vote::Outcome;

/// Epochs at the end of a run in which an output has to be released.
const STILL: u64 = 3;

/// The replica whose sandbox has the device before the first fault, where each votes.
const FIRST_OWNER: usize = 0;

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Came {
    /// Its class.
    pub class: OutcomeClass,
    /// Deadlines that threads missed which no fault hit.
    pub missed: u64,
    /// Epochs in which a replica was accused that no fault hit and that had the agreed memory.
    pub accused_falsely: u64,
    /// Epochs without an output.
    pub withheld: u64,
    /// How many of them are above what the placement promises for a single fault.
    pub withheld_above: u64,
    /// Epochs run.
    pub epochs: u64,
    /// Epochs that were not run, since all was as without a fault.
    pub saved: u64,
    /// Epochs from the first fault until all was as without one, or all agreed again.
    pub mended: u64,
}

/// Runs a clone of the reference's warmed-up state under the faults that `random` draws from
/// the row's class. `world` is room for the clone.
pub(super) fn run(
    row: Row,
    reference: &Reference,
    world: &mut World,
    random: &mut fastrand::Rng,
) -> (Came, Vec<String>) {
    world.clone_from(&reference.warm);
    let description = world.description();
    let (replicas, period) = (description.replicas.len(), description.period);
    let ballot_deadline = description.ballot_deadline;
    let pages = world.pages();
    let plan = row.class.draw(&mut Draw {
        random,
        world,
        replicas,
        pages,
        period,
        ballot_deadline,
    });
    let faults = plan.iter().map(|strike| format!("{strike:?}")).collect();

    let mut course = Course {
        plan: &plan,
        so_far: vec![SoFar::default(); plan.len()],
        ballots: &reference.ballots,
        accused: Vec::new(),
        last_accused: None,
        heard: 0,
        accused_falsely: 0,
    };
    let followed = catch_unwind(AssertUnwindSafe(|| {
        course.follow(reference, world, row.class)
    }));
    let came = match followed {
        Ok(ended) => judge(row, world, &plan, &ended, course.accused_falsely),
        Err(_) => Came {
            class: OutcomeClass::Crash,
            missed: 0,
            accused_falsely: 0,
            withheld: 0,
            withheld_above: 0,
            epochs: 0,
            saved: 0,
            mended: 0,
        },
    };
    (came, faults)
}

/// How a run ended.
#[derive(Clone, Copy, Debug)]
struct Ended {
    /// Epochs run.
    epochs: u64,
    /// Epochs saved.
    saved: u64,
    /// Whether everything was as without a fault at the end.
    is_as_without: bool,
    /// Whether it was so at the first boundary after the last strike, nothing else recorded.
    did_nothing: bool,
    /// The first epoch since the strike at whose end all was well.
    mended: Option<u64>,
}

struct Course<'a> {
    plan: &'a [Strike],
    so_far: Vec<SoFar>,
    /// The ballots at the end of each epoch: those of the reference, which are the same up to
    /// the first strike.
    ballots: &'a [Vec<Vec<u64>>],
    /// Replicas accused by a vote whose repairs have not begun, and when they do.
    accused: Vec<(u32, u64)>,
    /// The last epoch with such a vote: where several voters say so, it is one.
    last_accused: Option<u32>,
    /// Records that have been looked at.
    heard: usize,
    /// Votes that accused a replica whose memory is a sound copy's and that no fault hit.
    accused_falsely: u64,
}

impl Course<'_> {
    /// Runs to the end: of the last epoch, or of the first at whose end everything is as without
    /// a fault. Votes without a fault are run to the last.
    fn follow(&mut self, reference: &Reference, world: &mut World, class: Class) -> Ended {
        let warm = world.epoch();
        let ends_early = class != Class::None;
        let mut ended = Ended {
            epochs: EPOCHS,
            saved: 0,
            is_as_without: false,
            did_nothing: false,
            mended: None,
        };
        let mut first = true;
        for (passed, end) in (1..).zip(&reference.ends) {
            self.epoch(world, warm + passed);
            if self.so_far.iter().any(|strike| !strike.is_over) {
                continue;
            }
            let same = end.is_as(world);
            if first {
                ended.did_nothing = same && end.recorded(reference, world);
                first = false;
            }
            let well = same || is_whole(world);
            ended.mended = ended.mended.or(well.then_some(passed)).filter(|_| well);
            if same && ends_early {
                return Ended {
                    epochs: passed,
                    saved: EPOCHS - passed,
                    is_as_without: true,
                    ..ended
                };
            }
            ended.is_as_without = same;
        }
        ended
    }

    /// Runs to the begin of `epoch`.
    fn epoch(&mut self, world: &mut World, epoch: u64) {
        let until = epoch * world.description().period;
        loop {
            let due = world.run_to_poll();
            if world.now() >= until {
                return;
            }
            self.strike(world, due);
            self.hear(world);
            world.poll();
        }
    }

    /// Looks whom votes accused before anybody is repaired: who has missed a job differs, whatever
    /// made it miss that.
    fn hear(&mut self, world: &World) {
        let set = world.description();
        for (_, event) in &world.events()[self.heard..] {
            if let Event::Vote {
                epoch,
                parties,
                outcome,
                ..
            } = *event
                && parties.faulty != 0
                // Two in lock-step that differ accuse nobody.
                && !(set.voting.keeps_checkpoints()
                    && outcome == VoteOutcome::NoMajority
                    && parties.faulty.count_ones() > 1)
                && self.last_accused.is_none_or(|last| last < epoch)
            {
                let repairs = u64::from(epoch) * set.period + set.verdict_deadline;
                self.accused.push((parties.faulty, repairs));
                self.last_accused = Some(epoch);
            }
        }
        self.heard = world.events().len();

        let now = world.now();
        let falsely = |faulty: u32| {
            let mut replicas = 0..set.replicas.len();
            replicas.any(|it| {
                faulty >> it & 1 != 0 && !is_hit(world, self.plan, it) && world.is_sound(it)
            })
        };
        let due = self.accused.iter().filter(|(_, repairs)| now >= *repairs);
        self.accused_falsely += due.filter(|(faulty, _)| falsely(*faulty)).count() as u64;
        self.accused.retain(|(_, repairs)| now < *repairs);
    }

    fn strike(&mut self, world: &mut World, due: Place) {
        let now = world.now();
        for (strike, so_far) in self.plan.iter().zip(&mut self.so_far) {
            if so_far.is_over || strike.at > now {
                continue;
            }
            let effect = strike.act.strike(world, due, so_far, self.ballots);
            so_far.is_over = effect == Effect::Once;
        }
    }
}

/// Whether a fault hits the sandbox of a replica.
fn is_hit(world: &World, plan: &[Strike], replica: usize) -> bool {
    let own = world.core_of(Place::Replica(replica));
    let mut places = plan.iter().map(|strike| strike.act.place());
    places.any(|place| world.core_of(place) == own)
}

/// Whether the last vote was unanimous and all memories are as a sound copy's.
fn is_whole(world: &World) -> bool {
    let verdict = world.verdict();
    let unanimous = verdict.is_some_and(|verdict| {
        verdict.outcome == Outcome::Unanimous && verdict.epoch + 1 >= world.epoch()
    });
    unanimous && world.memories_are_sound()
}

/// Puts a run in its class: of those that it fits, the worst.
fn judge(row: Row, world: &World, plan: &[Strike], ended: &Ended, accused_falsely: u64) -> Came {
    let seen = world.seen();
    let hit: Vec<Place> = plan.iter().map(|strike| strike.act.place()).collect();
    let replicas = world.description().replicas.len();
    let hit_mask = (0..replicas).fold(0, |mask, it| {
        mask | u32::from(is_hit(world, plan, it)) << it
    });

    let epoch = world.epoch();
    let warm = epoch - ended.epochs;
    let released = |from: u64| {
        (from..epoch)
            .filter(|it| seen.accepted.contains(it))
            .count() as u64
    };
    let withheld = ended.epochs - released(warm);
    let missed = world.missed_by_others(&hit);
    let is_whole = ended.is_as_without || is_whole(world);
    let is_detected = seen
        .accused
        .iter()
        .any(|(_, faulty)| faulty & hit_mask != 0)
        || seen.repaired > 0
        || withheld > 0;
    let is_damaged = (0..replicas).any(|replica| !world.is_sound(replica));

    let class = if !seen.wrong.is_empty() || !seen.wrong_inputs.is_empty() {
        OutcomeClass::WrongOutput
    } else if !seen.stopped.is_empty() {
        OutcomeClass::SafeStop
    } else if released(epoch.saturating_sub(STILL).max(warm)) == 0 && !ended.is_as_without {
        OutcomeClass::Hang
    } else if missed > 0 {
        OutcomeClass::RecoveredLate
    } else if !is_whole && !is_detected && is_damaged {
        OutcomeClass::Latent
    } else if !is_whole {
        OutcomeClass::Downgraded
    } else if is_detected {
        OutcomeClass::Recovered
    } else if accused_falsely > 0 {
        OutcomeClass::FalseAccusation
    } else if ended.did_nothing && !plan.iter().any(|strike| strike.act.is_read()) {
        OutcomeClass::NotActivated
    } else {
        OutcomeClass::Masked
    };
    let first = plan.iter().map(|strike| strike.at).min();
    let struck = first.map_or(0, |at| at / world.description().period);
    let mended = ended.mended.unwrap_or(ended.epochs);
    Came {
        class,
        missed,
        accused_falsely,
        withheld,
        withheld_above: match row.class.is_of_several() {
            true => 0,
            false => {
                let is_owner_hit = is_hit(world, plan, FIRST_OWNER);
                withheld.saturating_sub(row.placement.withheld(row.class, is_owner_hit))
            }
        },
        epochs: ended.epochs,
        saved: ended.saved,
        mended: (warm + mended).saturating_sub(struck),
    }
}
