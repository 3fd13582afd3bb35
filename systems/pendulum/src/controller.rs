//! One job of the controller: from an input to an output.
//!
//! Two periods pass between a measurement and the end of the force that answers it: the
//! input of epoch E holds sample E − 1, and output E moves the plant from its state at
//! E to that at E + 1. So the estimate is carried from the sample's time to the output's
//! time with the forces that were sent meanwhile. A stale sample only makes that way
//! longer.
use crate::bank::{self, Filter};
use crate::design::{self, Estimate, FORCE_LIMIT, PERIOD, STATES};
use crate::log::{self, Entry};

/// Forces that are remembered: the longest way from a sample to an output.
const MEMORY: usize = 16;

/// Newtons of trim for each radian that the model misses by in a sample, in the long
/// run. Chosen so that a slope leaves the cart where it would be on a level track: without
/// trim the feedback lets it stand 0.7 m off for each newton.
const TRIM_GAIN: f64 = 18.0 / PERIOD;

/// What a job gets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Input {
    /// The epoch.
    pub epoch: u64,
    /// Whether a new sample came.
    pub fresh: bool,
    /// The sample's number; zero before the first.
    pub sample: u64,
    /// Measured position (m).
    pub position: f64,
    /// Measured angle (rad).
    pub angle: f64,
}

/// What a job gives.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Output {
    /// Force on the cart (N).
    pub force: f64,
    /// The running check over the log and the bank.
    pub check: u64,
}

/// What the controller remembers besides its bank and its log.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct State {
    shaped: bool,
    estimate: Estimate,
    /// The sample that the estimate is of.
    sample: u64,
    forces: [f64; MEMORY],
    /// Latest sums of the bank's outputs, by turn.
    trims: [f64; bank::TURNS],
    check: u64,
}

impl State {
    /// Before the first job.
    pub const START: Self = Self {
        shaped: false,
        estimate: [0.0; STATES],
        sample: 0,
        forces: [0.0; MEMORY],
        trims: [0.0; bank::TURNS],
        check: 0,
    };

    fn carried(&self, mut estimate: Estimate, from: u64, to: u64) -> Estimate {
        // Of a longer way the oldest forces are forgotten; the last ones count.
        for epoch in from.max(to.saturating_sub(MEMORY as u64))..to {
            estimate = design::predicted(&estimate, self.forces[epoch as usize % MEMORY]);
        }
        estimate
    }
}

/// The controller over its memory.
#[derive(Debug)]
pub struct Controller<'a> {
    /// What it remembers.
    pub state: &'a mut State,
    /// The filter bank: zeroed at the start.
    pub bank: &'a mut [Filter],
    /// The log: zeroed at the start.
    pub log: &'a mut [Entry],
}

impl Controller<'_> {
    /// Does one job.
    pub fn job(&mut self, input: &Input) -> Output {
        let Self { state, bank, log } = self;
        if !state.shaped {
            bank::shape(bank, TRIM_GAIN);
            state.shaped = true;
        }
        let mut missed = 0.0;
        let mut measured = [0.0; 2];
        if input.fresh && input.sample > state.sample {
            let expected = state.carried(state.estimate, state.sample, input.sample);
            let innovation = [input.position - expected[0], input.angle - expected[2]];
            missed = innovation[1];
            state.estimate = design::corrected(&expected, innovation);
            state.sample = input.sample;
            measured = [input.position, input.angle];
        }
        let turn = (input.epoch % bank::TURNS as u64) as usize;
        state.trims[turn] = bank::turn(bank, input.epoch, missed);
        let trim = state.trims.iter().fold(0.0, |sum, trim| sum + trim);

        let now = state.carried(state.estimate, state.sample, input.epoch);
        let force = design::feedback(&now) + trim;
        state.forces[input.epoch as usize % MEMORY] = force.clamp(-FORCE_LIMIT, FORCE_LIMIT);
        let entry = Entry {
            epoch: input.epoch,
            sample: state.sample,
            measured,
            angle: now[2],
            trim,
            force,
            check: state.check,
        };
        log::write(log, entry);
        let mut check = log::review(log, input.epoch, entry.fold_into(state.check));
        let filters = bank.len().max(1) as u64;
        if let Some(filter) = bank.get((input.epoch % filters) as usize) {
            check = filter.fold_into(check);
        }
        state.check = check;
        Output { force, check }
    }
}
