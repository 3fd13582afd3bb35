//! Which fault comes when, and where: what the options say, and the seed where they leave it
//! open.
use super::RunOptions;
use crate::error::{Error, Result};
use std::collections::VecDeque;
use std::time::Duration;
use tern_config::{System, ThreadRef};
use tern_fault::place::{Place, Site};
use tern_fault::target::Target;

/// The faults of a run, in the order in which they come.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    faults: VecDeque<Planned>,
}

/// A fault with its time and place.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    /// What is hit.
    pub target: Target,
    /// The thread that is hit.
    pub place: ThreadRef,
    /// The epoch whose job is meant: the fault comes after the command of the one before.
    pub epoch: u64,
    /// The time from that command on.
    pub delay: Duration,
    /// Draws what is still open.
    pub random: fastrand::Rng,
}

impl Plan {
    /// Draws what `options` leave open for the faults in `system`, whose replica set with
    /// index `set` is watched. The draws are the same whatever the set, so that a fault can
    /// be compared across sets.
    ///
    /// # Errors
    /// If a fault is meant for a place that the system does not have.
    pub fn of(options: &RunOptions, system: &System, set: usize) -> Result<Self> {
        let watched = &system.replica_sets[set];
        let mut faults = Vec::new();
        let mut common = None;
        for (number, fault) in (0..).zip(&options.faults) {
            let mut random = fastrand::Rng::with_seed(options.seed.wrapping_add(number));
            let luck = random.u64(..);
            let epoch = random.u64(options.epochs / 8..options.epochs / 2) + 1;
            let delay = Duration::from_nanos(random.u64(..watched.period));
            // Faults that say nothing else come together: what one leaves open meets the next.
            let epoch = fault.epoch.unwrap_or(*common.get_or_insert(epoch));
            let place = match fault.place(system, set).map_err(Error::usage)? {
                Some(Place::Thread(place)) => place,
                Some(place) => {
                    let reason = format!("--fault {fault}: {place:?} is not carried out");
                    return Err(Error::usage(reason));
                }
                None if is_of_the_voter(fault.target) => {
                    // Where several vote, the first that can has the device at first.
                    let voter = watched.drivers().next().copied();
                    voter.ok_or_else(|| {
                        let set = &watched.name;
                        Error::usage(format!("--fault {fault}: set {set} has no voter"))
                    })?
                }
                None => watched.replicas[(luck % watched.replicas.len() as u64) as usize],
            };
            if fault.target != Target::None {
                faults.push(Planned {
                    target: fault.target,
                    place,
                    epoch,
                    delay,
                    random,
                });
            }
        }
        faults.sort_by_key(|fault| fault.epoch);
        Ok(Self {
            faults: faults.into(),
        })
    }

    /// Takes out the faults that come after the command of epoch `seen` and have not yet.
    pub fn due(&mut self, seen: u64) -> Vec<Planned> {
        let due = self.faults.partition_point(|fault| fault.epoch <= seen + 1);
        self.faults.drain(..due).collect()
    }
}

/// Whether a target is a voter's.
fn is_of_the_voter(target: Target) -> bool {
    target.about().site == Site::Voter
}

#[cfg(test)]
mod tests {
    use super::*;
    use tern_config::Description;

    fn plan(faults: &[&str], seed: u64) -> Result<Plan> {
        let text = include_str!("../../../../systems/pendulum/arbitrator.toml");
        plan_in(text, faults, seed)
    }

    fn plan_in(text: &str, faults: &[&str], seed: u64) -> Result<Plan> {
        let system = Description::parse("system.toml", text).unwrap().system;
        let options = RunOptions {
            faults: faults.iter().map(|it| it.parse().unwrap()).collect(),
            seed,
            ..RunOptions::default()
        };
        Plan::of(&options, &system, 0)
    }

    #[test]
    fn a_seed_draws_the_same_place_and_time_whatever_the_target() {
        for seed in 0..20 {
            let drawn = |target: &str| {
                let fault = plan(&[target], seed).unwrap().faults[0].clone();
                assert!((16..61).contains(&fault.epoch), "after 1/8, before 1/2");
                (fault.place, fault.epoch, fault.delay)
            };
            assert_eq!(drawn("heap"), drawn("silent"));
        }
    }

    #[test]
    fn faults_without_an_epoch_come_together_and_others_in_the_order_of_theirs() {
        let faults = [
            "silent",
            "late=25ms@arbitrator",
            "heap:epoch=90",
            "text:epoch=3",
        ];
        let mut plan = plan(&faults, 7).unwrap();
        let mut seen = 0;
        let mut due = || {
            let targets = loop {
                let due = plan.due(seen);
                seen += 1;
                if !due.is_empty() {
                    break due.into_iter().map(|it| it.target.to_string());
                }
            };
            (seen, Vec::from_iter(targets).join(" "))
        };
        assert_eq!(due(), (3, "text".into()));
        assert_eq!(due().1, "silent late=25ms");
        assert_eq!(due(), (90, "heap".into()));
    }

    #[test]
    fn what_only_the_voter_can_do_is_its_without_a_name() {
        let of = |fault: &str| plan(&[fault], 3).unwrap().faults[0].place;
        assert_eq!(of("forge"), of("forge@arbitrator"));
    }

    #[test]
    fn of_several_voters_the_first_is_meant_and_no_arbitrator() {
        let mut text = "[system]\nname = \"x\"\n".to_owned();
        for (core, name) in ["alpha", "beta", "gamma"].iter().enumerate() {
            text += &format!(
                "[[sandbox]]\nname = \"{name}\"\ncore = {core}\n\
                 [[sandbox.server]]\nname = \"s\"\nbudget = \"10ms\"\nperiod = \"50ms\"\n\
                 [[sandbox.server.thread]]\nname = \"replica\"\nwcet = \"1ms\"\nreplica = \"r\"\n\
                 [[sandbox.server.thread]]\nname = \"voter\"\nwcet = \"1ms\"\nvoter = \"r\"\n"
            );
        }
        text += "[[replica_set]]\nname = \"r\"\nprogram = \"p\"\nvoting = \"distributed\"\n\
                 period = \"50ms\"\nballot_deadline = \"20ms\"\nverdict_deadline = \"30ms\"\n";
        let of = |fault: &str| plan_in(&text, &[fault], 3).map(|plan| plan.faults[0].place);
        assert_eq!(of("forge").unwrap(), of("forge@alpha/voter").unwrap());
        assert_eq!(of("forge@beta").unwrap(), of("forge@beta/voter").unwrap());
        for fault in ["forge@arbitrator", "late=25ms@arbitrator"] {
            let error = of(fault).unwrap_err();
            assert_eq!(error.code(), 64);
            let expected = "no sandbox is called 'arbitrator'; there are alpha, beta, gamma";
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn no_fault_is_none() {
        assert!(plan(&["none"], 1).unwrap().faults.is_empty());
    }

    #[test]
    fn a_place_that_is_not_there_is_wrong_usage() {
        let error = plan(&["heap@delta"], 1).unwrap_err();
        assert_eq!(error.code(), 64);
        assert!(error.to_string().contains("'delta'"), "{error}");
    }
}
