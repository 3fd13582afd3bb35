//! The fault-free run that runs with faults are compared with, and the systems that they are of.
use super::placement::Placement;
use tern_config::Description;
use tern_sim::sets::{Costs, Memory, World};
use tern_trace::Event;
use xtask::error::{Error, Result};

/// Pages of the replicated program.
const PAGES: u32 = 64;
/// Epochs before the warmed-up state: all pages have been scrubbed once.
const WARM: u64 = 8;
/// Epochs of a run at the most.
pub(super) const EPOCHS: u64 = 40;
/// How late the timers are, in nanoseconds, in every other system.
const LATENESS: u64 = 50_000;

/// A warmed-up state, and how it goes on without a fault.
#[derive(Debug)]
pub(super) struct Reference {
    pub warm: World,
    /// From the set's begin, for each epoch, the words of each replica's ballot at its end.
    pub ballots: Vec<Vec<Vec<u64>>>,
    /// The end of each epoch after the warmed-up state.
    pub ends: Vec<End>,
    /// What was recorded after it.
    pub events: Vec<(u64, Event)>,
}

/// The end of an epoch without a fault.
#[derive(Debug)]
pub(super) struct End {
    /// Of tasks and channels.
    digest: u64,
    /// That of every replica.
    memory: Memory,
    /// How many of the events were recorded by then.
    events: usize,
}

impl Reference {
    /// All that a placement's runs begin with: sets of several sizes, timers exact and late.
    ///
    /// # Errors
    /// If a description is none.
    pub fn of(placement: Placement) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for (place, replicas) in (0_u64..).zip(placement.sizes()) {
            for late in [false, true] {
                let text = placement.description(*replicas);
                let read = Description::parse("campaign.toml", &text);
                let read = read.map_err(|problems| Error::failure(problems.to_string()))?;
                let mut system = read.system;
                for set in &mut system.replica_sets {
                    set.tags = placement.protects();
                }
                let seed = 2 * place + u64::from(late) + 1;
                let mut world = World::new(&system, 0, PAGES, Costs::default(), seed);
                if late {
                    world.be_late(LATENESS);
                }
                all.push(Self::run(world));
            }
        }
        Ok(all)
    }

    fn run(mut world: World) -> Self {
        let mut ballots = Vec::new();
        let mut to = |world: &mut World, epoch| {
            world.run_until(epoch);
            let replicas = 0..world.description().replicas.len();
            ballots.push(
                replicas
                    .map(|replica| world.ballot_words(replica))
                    .collect(),
            );
        };
        for epoch in 1..=WARM {
            to(&mut world, epoch);
        }
        world.forget();
        let warm = world.clone();
        let mut ends = Vec::new();
        for epoch in WARM + 1..=WARM + EPOCHS {
            to(&mut world, epoch);
            ends.push(End {
                digest: world.digest(),
                memory: world.memory(0).clone(),
                events: world.events().len(),
            });
        }
        Self {
            warm,
            ballots,
            ends,
            events: world.events().to_vec(),
        }
    }
}

impl End {
    /// Whether everything in `world` is as here.
    pub fn is_as(&self, world: &mut World) -> bool {
        let mut replicas = 0..world.description().replicas.len();
        self.digest == world.digest()
            && replicas.all(|replica| world.memory(replica).holds_the_same(&self.memory))
    }

    /// Whether what `world` has recorded is what the reference had recorded by then.
    pub fn recorded(&self, reference: &Reference, world: &World) -> bool {
        world.events() == &reference.events[..self.events]
    }
}
