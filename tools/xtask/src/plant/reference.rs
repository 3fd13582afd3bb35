//! What the controller should have computed: the same code, run on the host.
use tern_pendulum::{Controller, Entry, FILTERS, Filter, Input, LOG_ENTRIES, Output, State};

/// A controller on the host with memory of its own.
#[derive(Clone, Debug)]
pub struct Reference {
    state: State,
    bank: Vec<Filter>,
    log: Vec<Entry>,
}

impl Default for Reference {
    fn default() -> Self {
        Self::new()
    }
}

impl Reference {
    /// The program that does the same in the machine.
    pub const PROGRAM: &str = "controller";

    /// A controller before its first job.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: State::START,
            bank: vec![Filter::ZERO; FILTERS],
            log: vec![Entry::default(); LOG_ENTRIES],
        }
    }

    /// Does one job.
    pub fn job(&mut self, input: &Input) -> Output {
        let (state, bank, log) = (&mut self.state, &mut self.bank[..], &mut self.log[..]);
        Controller { state, bank, log }.job(input)
    }
}

#[cfg(test)]
mod tests {
    use super::Reference;
    use tern_pendulum::{Input, Pendulum};

    /// Runs plant and controller in lock-step as the machine does: the input of epoch E
    /// is sample E − 1, which answered command E − 2, unless it is late.
    fn run(seed: u64, epochs: u64, late: f64, spoil: impl Fn(u64, f64) -> f64) -> Pendulum {
        let mut pendulum = Pendulum::new(seed);
        let mut reference = Reference::new();
        let mut luck = fastrand::Rng::with_seed(!seed);
        let mut input = Input::default();
        let mut samples = [(0, (0.0, 0.0)); 2];
        for epoch in 0..epochs {
            let (sample, (position, angle)) = samples[0];
            let fresh = sample > 0 && luck.f64() >= late;
            if fresh {
                input = Input {
                    sample,
                    position,
                    angle,
                    ..input
                };
            }
            input = Input {
                epoch,
                fresh,
                ..input
            };
            let output = reference.job(&input);
            pendulum.step(spoil(epoch, output.force));
            samples = [samples[1], (epoch + 1, pendulum.measure())];
        }
        pendulum
    }

    #[test]
    fn the_pendulum_stays_upright_for_ten_thousand_epochs_with_noise_gusts_and_late_samples() {
        for seed in 0..4 {
            let pendulum = run(seed, 10_000, 0.02, |_, force| force);
            assert!(!pendulum.fallen(), "seed {seed}");
            assert!(
                pendulum.worst_angle() < 0.3,
                "seed {seed}: {}",
                pendulum.worst_angle()
            );
        }
    }

    #[test]
    fn three_late_samples_in_a_row_do_not_fell_it() {
        for seed in 0..8 {
            assert!(
                !run(seed, 2_000, 0.2, |_, force| force).fallen(),
                "seed {seed}"
            );
        }
    }

    #[test]
    fn it_falls_when_the_output_is_wrong() {
        type Wrong = fn(f64) -> f64;
        let wrong: [(&str, Wrong); 4] = [
            ("none", |_| 0.0),
            ("the other way", |force| -force),
            ("not a number", |_| f64::NAN),
            ("too large", |_| 1e300),
        ];
        for (name, wrong) in wrong {
            let spoil = |epoch, force| if epoch < 100 { force } else { wrong(force) };
            assert!(run(1, 300, 0.0, spoil).fallen(), "{name}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_motion() {
        let angle = |seed| run(seed, 200, 0.1, |_, force| force).angle().to_bits();
        assert_eq!(angle(7), angle(7));
        assert_ne!(angle(7), angle(8));
    }
}
