//! The options of `cargo xtask run`.
use crate::emulator::Clock;
use crate::emulator::bochs::Model;
use crate::error::{Error, Result};
use crate::fault::{inject::not_yet, is_carried_out};
use std::path::PathBuf;
use tern_fault::grammar::Fault;
use tern_fault::target::Target;

/// What to run, and how.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The system description; the demo system's if none is given.
    pub system: Option<PathBuf>,
    /// The machine: a processor of Bochs, or QEMU.
    pub bochs: Option<Model>,
    /// Whether to run one copy of the replicated program, without a vote.
    pub unprotected: bool,
    /// The faults to inject.
    pub faults: Vec<Fault>,
    /// Seed of everything random: plant, time and place of the fault.
    pub seed: u64,
    /// How many epochs to run.
    pub epochs: u64,
    /// The emulator's program, or `10` for the private QEMU 10.
    pub emulator: Option<String>,
    /// What the machine's time is, under translation.
    pub clock: Clock,
    /// Where to write the trace.
    pub trace: Option<PathBuf>,
    /// Whether to boot a system whose deadlines need not hold.
    pub force: bool,
    /// Whether to print the machine's console.
    pub verbose: bool,
}

/// Epochs of a run where the user says nothing: twelve seconds of the pendulum.
const EPOCHS: u64 = 120;
/// The fewest epochs that leave time for a fault, its detection by a scrub, and its
/// repair.
const FEWEST_EPOCHS: u64 = 60;
/// The most: hours, far longer than a trace ring lasts.
const MOST_EPOCHS: u64 = 100_000;

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            system: None,
            bochs: None,
            unprotected: false,
            faults: vec![Target::Random.into()],
            seed: 0,
            epochs: EPOCHS,
            emulator: None,
            clock: Clock::Instructions { shift: 1 },
            trace: None,
            force: false,
            verbose: false,
        }
    }
}

/// The options, for the help text.
pub const HELP: &str = "\
run [SYSTEM.toml] [OPTIONS]   boot a system, inject a fault, judge what happens
      --machine NAME            qemu (the default), bochs-intel (VT-x) or bochs-amd (AMD-V):
                                in Bochs the plant is in a sandbox, and a run with the
                                same seed is the same to the last instruction
      --fault FAULT             TARGET[=VALUE][@WHERE][:epoch=N]: what to hit, where, in which
                                epoch; once or more often, in the order of their epochs; a
                                random one if none is given. What is left out the seed draws,
                                one epoch for all of them. `run --help` lists the targets
      --unprotected             one copy without a vote: the same fault, for comparison
      --seed N                  everything random; without it a new one each time
      --epochs N                length of the run (120), from 60 on; records for which the
                                description's trace ring has no room are lost, and fail it
      --qemu PATH               the emulator; 10 gets a private QEMU 10 with x2APIC
      --clock counted|host      the emulated machine's time: counted instructions (the
                                default), or the host's
      --trace FILE              where to write the trace (target/run/NAME.trace)
      --force                   boot it even if the analysis finds it not schedulable
      --verbose                 print the machine's console
      ends with 0 if the verdict is that all is well, with 1 if not, or if the system is
      not schedulable or cannot be run to its end
";

/// Lists the targets of faults, for the help text.
#[must_use]
pub fn targets() -> String {
    let mut text = String::from("\n  targets of --fault, and what stands after @:\n");
    for target in Target::ALL {
        let about = target.about();
        let (shape, site, line) = (about.shape, about.site.shape(), about.line);
        let yet = match is_carried_out(target) {
            true => "",
            false => " (nothing carries it out yet)",
        };
        text += &format!("    {shape:<17} {line}{yet}; {site}\n");
    }
    text
}

impl RunOptions {
    /// Reads a command line.
    ///
    /// # Errors
    /// If an option is unknown, lacks its value or has a wrong one.
    pub fn parse(arguments: &[String]) -> Result<Self> {
        let random = fastrand::u64(..1_000_000);
        let mut options = Self {
            seed: random,
            ..Self::default()
        };
        let mut faults = Vec::new();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || {
                rest.next()
                    .map(String::as_str)
                    .ok_or_else(|| Error::usage(format!("{argument} takes a value")))
            };
            match argument.as_str() {
                "--fault" => faults.push(fault(value()?)?),
                "--machine" => options.bochs = machine(value()?)?,
                "--unprotected" => options.unprotected = true,
                "--seed" => options.seed = number(argument, value()?)?,
                "--epochs" => options.epochs = number(argument, value()?)?,
                "--qemu" => options.emulator = Some(value()?.to_string()),
                "--clock" => options.clock = clock(value()?)?,
                "--trace" => options.trace = Some(value()?.into()),
                "--force" => options.force = true,
                "--verbose" => options.verbose = true,
                flag if flag.starts_with('-') => {
                    return Err(Error::usage(format!("run has no option '{flag}'\n{HELP}")));
                }
                file if options.system.is_none() => options.system = Some(file.into()),
                file => {
                    return Err(Error::usage(format!(
                        "run takes one system, not also '{file}'"
                    )));
                }
            }
        }
        if !faults.is_empty() {
            options.faults = faults;
        }
        let of_qemu = ["--qemu", "--clock"]
            .iter()
            .find(|option| options.bochs.is_some() && arguments.iter().any(|word| word == *option));
        if let Some(option) = of_qemu {
            return Err(Error::usage(format!(
                "{option} is for --machine qemu alone"
            )));
        }
        if !(FEWEST_EPOCHS..=MOST_EPOCHS).contains(&options.epochs) {
            return Err(Error::usage(format!(
                "--epochs takes {FEWEST_EPOCHS} to {MOST_EPOCHS}, not {}",
                options.epochs
            )));
        }
        options.check_epochs()?;
        Ok(options)
    }

    /// Refuses a fault in an epoch that the run does not have, or in the first one, in which
    /// nothing has been seen to work yet.
    fn check_epochs(&self) -> Result<()> {
        let epochs = 1..self.epochs;
        let beyond = |fault: &&Fault| fault.epoch.is_some_and(|it| !epochs.contains(&it));
        match self.faults.iter().find(beyond) {
            None => Ok(()),
            Some(fault) => Err(Error::usage(format!(
                "--fault {fault}: the run has epochs 1 to {} for faults",
                self.epochs - 1
            ))),
        }
    }
}

fn fault(text: &str) -> Result<Fault> {
    let fault: Fault = text.parse().map_err(Error::usage)?;
    match is_carried_out(fault.target) {
        true => Ok(fault),
        false => Err(not_yet(fault.target)),
    }
}

fn number(option: &str, text: &str) -> Result<u64> {
    text.parse()
        .map_err(|_| Error::usage(format!("{option} takes a whole number, not '{text}'")))
}

fn machine(name: &str) -> Result<Option<Model>> {
    let model = Model::named(name);
    if model.is_none() && name != "qemu" {
        return Err(Error::usage(format!(
            "no machine is named '{name}'; there are qemu, bochs-intel, bochs-amd"
        )));
    }
    Ok(model)
}

fn clock(text: &str) -> Result<Clock> {
    match text {
        "counted" => Ok(RunOptions::default().clock),
        "host" => Ok(Clock::Host),
        _ => Err(Error::usage(format!(
            "--clock takes counted or host, not '{text}'"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<RunOptions> {
        let words: Vec<String> = line.split_whitespace().map(str::to_string).collect();
        RunOptions::parse(&words)
    }

    #[test]
    fn options_come_in_any_order() {
        let options =
            parse("--seed 7 a.toml --force --fault heap@beta --unprotected --epochs 90").unwrap();
        assert!(options.force && !parse("a.toml").unwrap().force);
        assert_eq!(
            (options.seed, options.epochs, options.unprotected),
            (7, 90, true)
        );
        assert_eq!(options.system, Some("a.toml".into()));
        assert_eq!(options.faults, ["heap@beta".parse().unwrap()]);
        assert_eq!(options.bochs, None);
        let model = |name| parse(&format!("--machine {name}")).unwrap().bochs;
        assert_eq!(model("bochs-amd"), Some(Model::Amd));
        assert_eq!(model("qemu"), None);
    }

    #[test]
    fn faults_are_as_many_as_are_asked_for_and_a_random_one_if_none_is() {
        let faults = |line: &str| {
            let faults = parse(line).unwrap().faults;
            Vec::from_iter(faults.iter().map(ToString::to_string)).join(" ")
        };
        assert_eq!(faults(""), "random");
        assert_eq!(faults("--fault none"), "none");
        let two = "--fault silent --fault late=25ms@arbitrator:epoch=40";
        assert_eq!(faults(two), "silent late=25ms@arbitrator:epoch=40");
    }

    #[test]
    fn every_target_is_listed_and_one_that_nothing_carries_out_is_refused_with_a_word_on_that() {
        let help = targets();
        for target in Target::ALL {
            let shape = target.about().shape;
            let listed = help.lines().find(|it| it.trim_start().starts_with(shape));
            let said = listed.unwrap().contains("nothing carries it out yet");
            let parsed = parse(&format!("--fault {target}"));
            assert_eq!(parsed.is_err(), said, "{shape}");
            if let Err(error) = parsed {
                let expected = format!("nothing carries out the fault {target} yet");
                assert!(error.to_string().contains(&expected), "{error}");
            }
        }
    }

    #[test]
    fn a_wrong_line_is_refused_as_usage() {
        for line in [
            "--seed",
            "--seed x",
            "--epochs 3",
            "--fault no",
            "--fault heap:epoch=0",
            "--fault heap:epoch=120",
            "--wrong",
            "a b",
            "--clock 1",
            "--machine pc",
            "--machine bochs-amd --clock host",
        ] {
            assert_eq!(parse(line).unwrap_err().code(), 64, "{line}");
        }
    }
}
