//! The filter bank: 64 averages of what the model did not foresee, over windows from
//! seconds to minutes. Together they estimate the force that no model knows (a slope,
//! wind) on every time scale, and the controller trims it away.
//!
//! Each filter is one page. Its weights and its history enter the output each time
//! the filter's turn comes, so a flipped bit anywhere in them has consequences.

use crate::log;

/// Weights of a filter: the longest window.
pub const TAPS: usize = 255;
/// Epochs between two turns of a filter.
pub const TURNS: usize = 8;

/// One filter of the bank: a weighted average of its newest inputs.
#[derive(Clone, Debug, PartialEq)]
#[repr(C, align(4096))]
pub struct Filter {
    weights: [f64; TAPS],
    history: [f64; TAPS],
    newest: u64,
    output: f64,
}

const _: () = assert!(size_of::<Filter>() == 4096);

impl Filter {
    /// A filter that has seen nothing and weighs nothing: zeroed memory.
    pub const ZERO: Self = Self {
        weights: [0.0; TAPS],
        history: [0.0; TAPS],
        newest: 0,
        output: 0.0,
    };

    /// Gives the filter a window of `length` inputs (1 to [`TAPS`]) whose weights fall
    /// off as a parabola (Epanechnikov's kernel) and add up to `gain`.
    pub fn shape(&mut self, length: usize, gain: f64) {
        let length = length.clamp(1, TAPS);
        let weight = |age: usize| {
            let distance = age as f64 / length as f64;
            1.0 - distance * distance
        };
        let sum = (0..length).fold(0.0, |sum, age| sum + weight(age));
        for (age, slot) in self.weights.iter_mut().enumerate() {
            *slot = if age < length {
                gain * weight(age) / sum
            } else {
                0.0
            };
        }
    }

    /// Takes the next input and computes the output anew.
    pub fn turn(&mut self, input: f64) {
        let newest = (self.newest as usize + 1) % TAPS;
        self.newest = newest as u64;
        self.history[newest] = input;
        // Ages run backwards from `newest`, around the ring.
        let (recent, old) = self.history.split_at(newest + 1);
        let ages = recent.iter().rev().chain(old.iter().rev());
        self.output = ages
            .zip(&self.weights)
            .fold(0.0, |sum, (input, weight)| sum + input * weight);
    }

    /// Folds all that the filter remembers into a running check.
    #[must_use]
    pub fn fold_into(&self, check: u64) -> u64 {
        let values = self
            .weights
            .iter()
            .chain(&self.history)
            .chain([&self.output]);
        let check = values.fold(check, |check, value| log::fold(check, value.to_bits()));
        log::fold(check, self.newest)
    }

    /// The output of the last turn.
    #[must_use]
    pub fn output(&self) -> f64 {
        self.output
    }
}

/// Gives every filter its window, so that the outputs for a constant input of one add
/// up to `gain`.
pub fn shape(bank: &mut [Filter], gain: f64) {
    let count = bank.len();
    for (index, filter) in bank.iter_mut().enumerate() {
        let length = 8 + index * (TAPS - 8) / count.max(1);
        filter.shape(length, gain / count as f64);
    }
}

/// Gives the filters whose turn it is in `epoch` their input, and returns the sum of
/// their outputs alone.
pub fn turn(bank: &mut [Filter], epoch: u64, input: f64) -> f64 {
    let turn = epoch as usize % TURNS;
    bank.iter_mut()
        .skip(turn)
        .step_by(TURNS)
        .fold(0.0, |sum, filter| {
            filter.turn(input);
            sum + filter.output()
        })
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec;

    #[test]
    fn a_constant_input_comes_out_with_the_gain() {
        let mut bank = vec![Filter::ZERO; 64];
        shape(&mut bank, 3.0);
        let mut turns = [0.0; TURNS];
        for epoch in 0..(TURNS * (TAPS + 1)) as u64 {
            turns[epoch as usize % TURNS] = turn(&mut bank, epoch, 2.0);
        }
        let sum: f64 = turns.iter().sum();
        assert!((sum - 6.0).abs() < 1e-9, "{sum}");
    }

    #[test]
    fn every_filter_gets_one_turn_in_eight_epochs() {
        let mut bank = vec![Filter::ZERO; 64];
        for epoch in 0..TURNS as u64 {
            turn(&mut bank, epoch, 1.0);
        }
        assert!(bank.iter().all(|filter| filter.newest == 1));
    }

    #[test]
    fn any_weight_and_any_input_in_the_window_matter() {
        let mut filter = Filter::ZERO;
        filter.shape(TAPS, 1.0);
        for step in 0..TAPS {
            filter.turn(1.0 + step as f64);
        }
        let mut good = filter.clone();
        good.turn(0.5);
        for place in 0..TAPS {
            let mut damaged = filter.clone();
            damaged.weights[place] = f64::from_bits(damaged.weights[place].to_bits() ^ 1 << 50);
            damaged.turn(0.5);
            assert_ne!(damaged.output(), good.output(), "weight {place}");
        }
    }
}
