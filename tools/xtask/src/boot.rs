//! `cargo xtask boot`: runs a system in Bochs for a given time of the machine's, and
//! keeps its trace. Nothing outside takes part, so every run is the same to the last
//! instruction.
use crate::emulator::bochs::configuration::TICKS_PER_SECOND;
use crate::emulator::bochs::{Machine, Model, Options, Stop};
use crate::emulator::{Directory, ExitCounts, directory};
use crate::error::{Error, Result};
use crate::record::{self, RunFiles};
use crate::{build, image, interrupt, run, setup};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tern_abi::directory::{ExitReason, Violation};
use tern_config::System;
use tern_trace::Trace;

/// The options, for `cargo xtask help`.
pub const HELP: &str = "\
boot SYSTEM.toml [OPTIONS]    run a system in Bochs, alone and in exact time
      --machine NAME            bochs-intel (VT-x, the default) or bochs-amd (AMD-V)
      --for DURATION            of the machine's time, from its start: 500ms, 2s (the
                                default), at most 42s
      --trace FILE              where to write the trace (target/run/NAME-MACHINE.trace)
      --force                   boot it even if the analysis finds it not schedulable
";

/// How much slower than its own time a machine may run on a busy host.
const SLOWNESS: u32 = 60;
/// From the machine's start to the guests' and from there to the time epoch, at least.
const START: Duration = Duration::from_secs(1);

/// What to boot, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootOptions {
    /// The description.
    pub system: PathBuf,
    /// The machine.
    pub model: Model,
    /// Time of the machine's.
    pub time: Duration,
    /// Where the trace goes, if not to the usual place.
    pub trace: Option<PathBuf>,
    /// Whether to boot a system whose deadlines need not hold.
    pub force: bool,
}

impl BootOptions {
    /// Reads them from a command line.
    ///
    /// # Errors
    /// If it does not make sense.
    pub fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            system: PathBuf::new(),
            model: Model::Intel,
            time: Duration::from_secs(2),
            trace: None,
            force: false,
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || {
                words
                    .next()
                    .map(String::as_str)
                    .ok_or_else(|| Error::usage(format!("{word} takes a value")))
            };
            match word.as_str() {
                "--machine" => options.model = model(value()?)?,
                "--for" => options.time = duration(value()?)?,
                "--trace" => options.trace = Some(value()?.into()),
                "--force" => options.force = true,
                flag if flag.starts_with('-') => {
                    return Err(Error::usage(format!("boot has no option '{flag}'\n{HELP}")));
                }
                file if options.system.as_os_str().is_empty() => options.system = file.into(),
                file => {
                    return Err(Error::usage(format!(
                        "boot takes one system, not also '{file}'"
                    )));
                }
            }
        }
        if options.system.as_os_str().is_empty() {
            return Err(Error::usage(format!("boot takes a system\n{HELP}")));
        }
        Ok(options)
    }
}

fn model(name: &str) -> Result<Model> {
    Model::named(name).ok_or_else(|| {
        Error::usage(format!(
            "no machine is named '{name}'; there are bochs-intel, bochs-amd (in QEMU: cargo xtask run)"
        ))
    })
}

/// A time on a command line.
///
/// # Errors
/// If it is none.
pub(crate) fn duration(text: &str) -> Result<Duration> {
    let wrong = || Error::usage(format!("'{text}' is no time: write 500ms or 2s"));
    let (digits, unit) = match text.strip_suffix("ms") {
        Some(digits) => (digits, 1),
        None => (text.strip_suffix('s').ok_or_else(wrong)?, 1000),
    };
    let count: u64 = digits.parse().map_err(|_| wrong())?;
    let millis = count.checked_mul(unit).filter(|millis| *millis > 0);
    millis.map(Duration::from_millis).ok_or_else(wrong)
}

/// A run that came to its end.
#[derive(Debug)]
pub struct Booted {
    /// Where it stopped.
    pub stop: Stop,
    /// All that the machine printed.
    pub console: Vec<String>,
    /// The trace.
    pub trace: Trace,
    /// Exits of each sandbox by reason.
    pub exits: Vec<Vec<(ExitReason, u64)>>,
    /// What stopped each sandbox, if something has.
    pub violations: Vec<Option<Violation>>,
}

/// Runs `system` with its boot module for `time` of a `model` machine's time, or until
/// it ends by itself; `show` is called with each line of its console.
///
/// # Errors
/// If it does not boot, or takes too long.
pub fn boot(
    system: &System,
    module: Vec<u8>,
    model: Model,
    time: Duration,
    show: impl FnMut(&str),
) -> Result<Booted> {
    let options = Options::for_system(system, module, model);
    boot_machine(system, model, options, time, show)
}

/// Runs `system` as [`boot`] does, on a `model` machine with these `options`.
///
/// # Errors
/// As [`boot`].
pub fn boot_machine(
    system: &System,
    model: Model,
    options: Options,
    time: Duration,
    mut show: impl FnMut(&str),
) -> Result<Booted> {
    let promises = image::promises(system, Some(model))?;
    let options = Options {
        emulator: setup::ensure_bochs()?,
        bound: SLOWNESS * (START + time),
        ..options
    };
    let mut machine = Machine::start(&options)?;
    let ticks = time.as_nanos() * u128::from(TICKS_PER_SECOND) / 1_000_000_000;
    let ticks = u32::try_from(ticks).map_err(|_| {
        let most = u64::from(u32::MAX) / TICKS_PER_SECOND;
        Error::usage(format!("Bochs runs at most {most} s at a time"))
    })?;
    machine.step(ticks)?;
    let mut shown = 0;
    let stop = loop {
        let stopped = machine.stopped()?;
        let lines = machine.console.lines();
        lines[shown..].iter().for_each(|line| show(line));
        shown = lines.len();
        if let Some(stop) = stopped {
            break stop;
        }
        machine.check()?;
        interrupt::check()?;
        std::thread::sleep(Duration::from_millis(10));
    };
    let console = machine.console.lines().to_vec();
    let address = console.iter().find_map(|line| Directory::address(line));
    let address = address.ok_or_else(|| {
        let last = console.last().map_or("nothing", String::as_str);
        Error::failure(format!(
            "the machine stopped at tick {} before its sandboxes ran: give it longer by --for, \
             unless it says why; it said last: {last}",
            stop.ticks
        ))
    })?;
    let directory = Directory::read(&machine.memory, address)?;
    let (mut exits, mut violations) = (Vec::new(), Vec::new());
    for entry in &directory.entries {
        violations.push(directory::violation(&machine.memory, entry)?);
        let counts = ExitCounts::read(&machine.memory, entry)?;
        exits.push(counts.since(ExitCounts::default()).collect());
    }
    let notes = Vec::new();
    let trace = record::trace(&machine.memory, &directory, system, Some(promises), notes)?;
    machine.quit()?;
    Ok(Booted {
        stop,
        console,
        trace,
        exits,
        violations,
    })
}

/// Executes the command.
///
/// # Errors
/// If the system cannot be built or booted.
pub fn execute(arguments: &[String]) -> Result<ExitCode> {
    let options = BootOptions::parse(arguments)?;
    interrupt::catch()?;
    let system = image::admit(
        &options.system,
        Some(options.model.platform()),
        options.force,
    )?;
    let files = RunFiles::take(&run_name(&system, options.model))?;
    let file = options.trace.unwrap_or_else(|| files.file("trace"));
    record::expect_writable(&file)?;
    println!("building {}", system.name);
    build::build_for(&system)?;
    let module = image::assemble(&system)?;
    let begin = Instant::now();
    let show = |line: &str| println!("{:8.3} s  {line}", begin.elapsed().as_secs_f64());
    let booted = boot(&system, module, options.model, options.time, show)?;
    for (sandbox, exits) in system.sandboxes.iter().zip(&booted.exits) {
        let counts = exits
            .iter()
            .map(|(reason, count)| format!("{} {count}", reason.name()));
        let counts: Vec<_> = counts.collect();
        println!("exits of {}: {}", sandbox.name, counts.join(", "));
    }
    record::save(&booted.trace, &file)?;
    println!(
        "stopped at tick {} after {:.1} s; trace: {}",
        booted.stop.ticks,
        begin.elapsed().as_secs_f64(),
        run::shown(&file)
    );
    Ok(ExitCode::SUCCESS)
}

/// Returns the name of a system's files on a machine.
fn run_name(system: &System, model: Model) -> String {
    let machine = model.platform();
    format!("{}-{machine}", system.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<BootOptions> {
        let words: Vec<String> = line.split_whitespace().map(String::from).collect();
        BootOptions::parse(&words)
    }

    #[test]
    fn a_command_line_names_system_machine_and_time() {
        let options = parse("a.toml --machine bochs-amd --for 1500ms --force --trace t").unwrap();
        assert!(options.force && !parse("a.toml").unwrap().force);
        assert_eq!(options.system, PathBuf::from("a.toml"));
        assert_eq!(options.model, Model::Amd);
        assert_eq!(options.time, Duration::from_millis(1500));
        assert_eq!(options.trace, Some("t".into()));
        assert_eq!(parse("a.toml").unwrap().model, Model::Intel);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_usage_code() {
        for line in [
            "",
            "a.toml --for",
            "a.toml --for 5",
            "a.toml --for 0s",
            "a.toml --machine pc",
            "a.toml --loud 1",
            "a.toml b.toml",
        ] {
            assert_eq!(parse(line).unwrap_err().code(), 64, "{line}");
        }
    }
}
