//! What the kernel's own work, devices and jobs do to the servers of a system, within what its
//! bounds are promised for.
use tern_sched::analysis::CostTable;

/// How much an adversary takes of what it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Nothing.
    Least,
    /// Anything, each time anew: all of it every other time.
    Drawn,
    /// All, each time.
    Most,
}

/// What may happen to a system, and how much of it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The seed of all random choices.
    pub seed: u64,
    /// The costs of the platform, which the rest is measured by.
    pub costs: CostTable,
    /// What is charged of an activation: to each job for its own release and for each return of
    /// its budget, and to whom the activation of a server of higher priority finds running.
    pub charges: Choice,
    /// How late a timer or an interrupt is: by up to the longest section with interrupts off,
    /// and the `blocking` that the servers above are described with. On an idle core it is a
    /// doorbell's handler that is in the way, where one may ring.
    pub sections: Choice,
    /// How much later than it arrives a job is released, of its server's jitter.
    pub jitter: Choice,
    /// For each sandbox an instant at which releases gather: those that may be late until then
    /// are, and none is late after it, so that a job comes soon after the one before. Where none
    /// is named, [`Environment::jitter`] alone decides.
    pub gathering: Vec<u64>,
    /// How many periods, of up to three, a release by the clock is left out.
    pub gaps: Choice,
    /// How much a job falls short of its execution time.
    pub shortfall: Choice,
    /// How long after its driver's job a device interrupts, of two periods of the driver.
    pub silence: Choice,
    /// Sandbox and server of those whose jobs take longer than they promise, by up to
    /// [`Environment::OVERRUN`] times that.
    pub overrunning: Vec<(usize, usize)>,
}

impl Environment {
    /// The most that a job of an overrunning server takes, in its execution times.
    pub const OVERRUN: u64 = 4;

    /// Returns the environment without costs, in which all jobs come as soon and take as long as
    /// they may.
    #[must_use]
    pub const fn exact(seed: u64) -> Self {
        Self {
            seed,
            costs: CostTable::NONE,
            charges: Choice::Least,
            sections: Choice::Least,
            jitter: Choice::Least,
            gathering: Vec::new(),
            gaps: Choice::Least,
            shortfall: Choice::Least,
            silence: Choice::Least,
            overrunning: Vec::new(),
        }
    }

    /// Chooses how late a job of a sandbox is released that arrives at `at`, by up to `most`.
    pub(super) fn lateness(
        &self,
        sandbox: usize,
        at: u64,
        most: u64,
        random: &mut fastrand::Rng,
    ) -> u64 {
        match self.gathering.get(sandbox) {
            Some(gathering) if at > *gathering => 0,
            Some(gathering) if gathering - at <= most => gathering - at,
            Some(_) | None => self.jitter.of(most, random),
        }
    }
}

impl Choice {
    /// Chooses a number from 0 to `most`.
    pub(super) fn of(self, most: u64, random: &mut fastrand::Rng) -> u64 {
        match self {
            Self::Least => 0,
            Self::Most => most,
            Self::Drawn => match random.u8(..4) {
                0 => 0,
                1 => random.u64(0..=most),
                _ => most,
            },
        }
    }
}
