//! Whether the outputs that a run released are what the controller computes, by the same code on
//! the host.
use std::collections::BTreeMap;

use tern_pendulum::{Input, command};
use tern_plant::frames::Outcome;

use crate::plant::{Exchange, Reference};

/// How the released outputs compare with what the controller should have computed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outputs {
    /// Outputs released.
    pub released: u64,
    /// Those that differ from the reference in any bit.
    pub wrong: u64,
    /// The epoch of the first of those.
    pub first: Option<u64>,
    /// Those whose force is wrong, not only the check over the controller's memory.
    pub wrong_forces: u64,
    /// The worst of those: epoch, force released, force expected.
    pub worst: Option<(u64, f64, f64)>,
}

/// Compares every released output with the reference, which gets the same inputs: sample E − 1 in
/// epoch E unless that `is_stale`. It does those jobs alone that the agreed states have seen:
/// those that the commands tell of, and of epochs whose command was lost on the line those in
/// which a majority `has_run`.
pub(super) fn compare(
    exchanges: &[Exchange],
    is_stale: impl Fn(u64) -> bool,
    has_run: impl Fn(u64) -> bool,
) -> Outputs {
    let samples: BTreeMap<u64, (f64, f64)> = exchanges
        .iter()
        .filter_map(|exchange| {
            let measured = exchange.motion?.measured;
            Some((exchange.command.epoch + 1, measured))
        })
        .collect();
    let input = |epoch: u64| {
        let sample = epoch.saturating_sub(1);
        let measured = samples.get(&sample).filter(|_| !is_stale(epoch));
        let (position, angle) = measured.copied().unwrap_or_default();
        Input {
            epoch,
            fresh: measured.is_some(),
            sample,
            position,
            angle,
        }
    };
    let mut reference = Reference::new();
    let mut outputs = Outputs::default();
    let mut jobs_until = 0;
    for exchange in exchanges {
        let (epoch, status) = (exchange.command.epoch, &exchange.command.status);
        match status.outcome {
            Outcome::Unanimous | Outcome::Majority | Outcome::Held | Outcome::Unprotected => {}
            Outcome::Lost | Outcome::Stopped => continue,
        }
        // The last job that the agreed state has seen, if that is a new one.
        let until = epoch.saturating_add(1).saturating_sub(status.behind.into());
        let Some(job) = until.checked_sub(1).filter(|job| *job >= jobs_until) else {
            continue;
        };
        // Of these no command came.
        for job in (jobs_until..job).filter(|job| has_run(*job)) {
            reference.job(&input(job));
        }
        jobs_until = job + 1;
        let expected = reference.job(&input(job));
        let words = &exchange.command.words;
        if !exchange.accepted {
            continue;
        }
        outputs.released += 1;
        if [words[command::FORCE], words[command::CHECK]]
            == [expected.force.to_bits(), expected.check]
        {
            continue;
        }
        outputs.wrong += 1;
        outputs.first = outputs.first.or(Some(epoch));
        let released = f64::from_bits(words[command::FORCE]);
        let error = (released - expected.force).abs();
        if error != 0.0 {
            outputs.wrong_forces += 1;
            let worst = outputs
                .worst
                .map_or(0.0, |(_, wrong, right)| (wrong - right).abs());
            // What is no number is worse than any.
            if error > worst || error.is_nan() {
                outputs.worst = Some((epoch, released, expected.force));
            }
        }
    }
    outputs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plant::Motion;
    use tern_pendulum::Pendulum;
    use tern_plant::frames::{Command, Status};

    /// What a plant sees of a set that runs `epochs` epochs, each with the sample before.
    fn exchanges(epochs: u64) -> Vec<Exchange> {
        let (mut pendulum, mut reference) = (Pendulum::new(1), Reference::new());
        let mut measured: Vec<(f64, f64)> = vec![Default::default()];
        let mut exchanges = Vec::new();
        for epoch in 0..epochs {
            let sample = epoch.saturating_sub(1);
            let (position, angle) = measured[sample as usize];
            let output = reference.job(&Input {
                epoch,
                fresh: sample > 0,
                sample,
                position,
                angle,
            });
            let mut command = Command {
                epoch,
                count: 2,
                status: Status {
                    outcome: Outcome::Unanimous,
                    ..Status::default()
                },
                ..Command::default()
            };
            command.words[command::FORCE] = output.force.to_bits();
            command.words[command::CHECK] = output.check;
            pendulum.step(output.force);
            measured.push(pendulum.measure());
            exchanges.push(Exchange {
                command,
                accepted: true,
                motion: Some(Motion {
                    measured: measured[epoch as usize + 1],
                    position: pendulum.position(),
                    angle: pendulum.angle(),
                    fallen: pendulum.fallen(),
                }),
            });
        }
        exchanges
    }

    #[test]
    fn outputs_that_the_same_code_computes_are_right_and_a_flip_in_one_is_found() {
        let mut exchanges = exchanges(30);
        let outputs = compare(&exchanges, |_| false, |_| true);
        assert_eq!((outputs.released, outputs.wrong), (30, 0));
        exchanges[12].command.words[command::FORCE] ^= 1 << 20;
        let outputs = compare(&exchanges, |_| false, |_| true);
        assert_eq!((outputs.wrong, outputs.first), (1, Some(12)));
    }

    /// The plant has not moved for it, and has sent no sample; the replicas have run all the same.
    #[test]
    fn a_command_that_is_lost_on_the_line_makes_no_later_output_wrong() {
        let mut exchanges = exchanges(13);
        exchanges.remove(12);
        let before = compare(&exchanges, |_| false, |_| true);
        assert_eq!((before.released, before.wrong), (12, 0));

        // A last output, of a set that ran in epoch 12 as well.
        let all = self::exchanges(14);
        exchanges.push(all[13]);
        let told = compare(&exchanges, |_| false, |_| true);
        assert_eq!((told.released, told.wrong), (13, 0));
        let untold = compare(&exchanges, |_| false, |epoch| epoch != 12);
        assert_eq!((untold.wrong, untold.first), (1, Some(13)));
    }
}
