//! One machine in Bochs: its parts, its start, and that it always ends.
use super::blocks;
use super::debugger::{Debugger, Stop};
use super::files::Folder;
use super::listing::{Ask, Reader, Standing};
use super::options::Options;
use super::terminal;
use crate::emulator::{Console, Memory, Registers};
use crate::error::{Error, Result};
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};
use tern_units::HostPhysical;

/// A machine that runs or has stopped. Dropping it ends the emulator and removes its
/// files.
#[derive(Debug)]
pub struct Machine {
    debugger: Debugger,
    cores: u8,
    folder: Folder,
    deadline: Instant,
    bound: Duration,
    /// What the machine prints to port 0xE9.
    pub console: Console,
    /// The machine's memory.
    pub memory: Memory,
}

impl Machine {
    /// Starts the emulator and stops before the machine's first instruction.
    ///
    /// # Errors
    /// If the images do not fit, or the emulator cannot be started, with what it said.
    pub fn start(options: &Options) -> Result<Self> {
        terminal::check(Path::new(terminal::MULTIPLEXER))?;
        let folder = Folder::create()?;
        let image = folder.fill(options)?;
        let mut command = Command::new(&options.emulator);
        command
            .args(["-q", "-f"])
            .arg(folder.configuration())
            .env("TERM", "xterm") // its screen is drawn on a terminal nobody looks at
            .env("INPUTRC", "/dev/null")
            .stderr(folder.errors_file()?);
        let (debugger, console) = Debugger::start(command, options.cores)
            .map_err(|error| Error::failure(format!("{error}{}", folder.errors())))?;
        let memory = blocks::open(
            debugger.process(),
            &folder.log(),
            &image,
            options.memory << 20,
        )?;
        Ok(Self {
            debugger,
            cores: options.cores,
            folder,
            deadline: Instant::now() + options.bound,
            bound: options.bound,
            console,
            memory,
        })
    }

    /// Lets the machine run on.
    ///
    /// # Errors
    /// If the emulator has ended.
    pub fn resume(&mut self) -> Result<()> {
        let result = self.debugger.resume();
        self.explain(result)
    }

    /// Lets the stopped machine run for `ticks`, or until it stops by itself, and waits
    /// for that.
    ///
    /// # Errors
    /// As [`Machine::step`], or if the machine's time is up before.
    pub fn run_for(&mut self, ticks: u32) -> Result<Stop> {
        self.step(ticks)?;
        self.wait_for_stop()
    }

    /// Lets the stopped machine run for `ticks`, or until it stops by itself: at the
    /// same instruction of every core in every run.
    ///
    /// # Errors
    /// If the machine runs already, or the emulator has ended.
    pub fn step(&mut self, ticks: u32) -> Result<()> {
        let result = self.debugger.step(ticks, self.cores);
        self.explain(result)
    }

    /// Lets the stopped machine run until a core is about to execute an instruction at one of
    /// `addresses`, fifteen at the most, or until it stops by itself. One that is the first of a
    /// core's turn is passed over.
    ///
    /// # Errors
    /// As [`Machine::run_for`].
    pub fn run_to_one_of(&mut self, addresses: &[u64]) -> Result<Stop> {
        for address in addresses {
            let said = self.debugger.ask(&format!("lb {address:#x}"));
            let said = self.explain(said)?;
            if let Some(error) = said.iter().find(|line| line.contains("Error")) {
                return Err(Error::failure(format!("a breakpoint: {error}")));
            }
        }
        self.resume()?;
        let stop = self.wait_for_stop()?;
        let set = self.debugger.ask("info b");
        let set = self.explain(set)?;
        for line in set.iter().filter(|line| line.contains("lbreakpoint")) {
            let number = line.split_whitespace().next().unwrap_or_default();
            let gone = self.debugger.ask(&format!("del {number}"));
            self.explain(gone)?;
        }
        Ok(stop)
    }

    /// Lets the stopped machine run for `stops` times `every` ticks, at most some thousand
    /// times; at each stop asks of each core what `ask` says, and tells how they stand. Time
    /// in which its one core is idle does not count.
    ///
    /// # Errors
    /// As [`Machine::run_for`].
    pub fn look(
        &mut self,
        ask: Ask,
        stops: u64,
        every: u32,
        mut tell: impl FnMut(&[Standing]),
    ) -> Result<Stop> {
        let cores = usize::from(self.cores);
        let commands = ask.commands(stops, every, self.cores);
        let script = self.folder.commands(&commands)?;
        let answers = match ask {
            Ask::Nothing => 0,
            Ask::Flags | Ask::Places => stops * u64::from(self.cores),
        };
        let (mut reader, mut all) = (Reader::default(), Vec::with_capacity(cores));
        let take = |line: &str| {
            let Some(standing) = reader.line(line) else {
                return false;
            };
            all.push(standing);
            if all.len() == cores {
                tell(&all);
                all.clear();
            }
            true
        };
        let played = self
            .debugger
            .play(&script, (stops, answers), self.deadline, take);
        self.explain(played)?;
        self.wait_for_stop()
    }

    /// Stops the machine, which [`Machine::resume`] let run, where it is.
    ///
    /// # Errors
    /// If it does not stop.
    pub fn interrupt(&mut self) -> Result<Stop> {
        self.debugger.interrupt();
        self.wait_for_stop()
    }

    /// Waits until the machine stops, at most until its time is up.
    ///
    /// # Errors
    /// If it does not stop, or the emulator ends.
    pub fn wait_for_stop(&mut self) -> Result<Stop> {
        let result = self.debugger.wait_for_stop(self.deadline);
        match self.explain(result)? {
            Some(stop) => Ok(stop),
            None => Err(self.overdue()),
        }
    }

    /// Where the machine stopped, if it has.
    ///
    /// # Errors
    /// If the emulator has ended.
    pub fn stopped(&mut self) -> Result<Option<Stop>> {
        let result = self.debugger.wait_for_stop(Instant::now());
        self.explain(result)
    }

    /// Waits for a console line with `text`, at most until the machine's time is up.
    ///
    /// # Errors
    /// If it does not come, or the machine stops before.
    pub fn wait_for(&mut self, text: &str) -> Result<String> {
        loop {
            let stopped = self.stopped()?;
            if let Some(line) = self.console.wait_for(text, Duration::from_millis(100)) {
                return Ok(line);
            }
            self.check()
                .map_err(|error| Error::failure(format!("waiting for '{text}': {error}")))?;
            if let Some(stop) = stopped {
                let ticks = stop.ticks;
                return self.explain(Err(Error::failure(format!(
                    "waiting for '{text}': the machine stopped at tick {ticks}"
                ))));
            }
        }
    }

    /// Fails if the machine's time is up or the emulator has ended, with its last words.
    ///
    /// # Errors
    /// See above.
    pub fn check(&mut self) -> Result<()> {
        if Instant::now() > self.deadline {
            return Err(self.overdue());
        }
        let result = self.debugger.check();
        self.explain(result)
    }

    /// Writes `bytes` into the stopped machine's memory at `address`.
    ///
    /// # Errors
    /// If the machine runs, or has no memory there.
    pub fn write(&mut self, address: HostPhysical, bytes: &[u8]) -> Result<()> {
        for (offset, byte) in bytes.iter().enumerate() {
            let at = address.as_u64() + offset as u64;
            let said = self.debugger.ask(&format!("setpmem {at:#x} 1 {byte:#x}"));
            let said = self.explain(said)?;
            if let Some(error) = said.iter().find(|line| line.contains("Error")) {
                return Err(Error::failure(format!("writing to {address}: {error}")));
            }
        }
        Ok(())
    }

    /// The registers of core `core` (from 0) of the stopped machine.
    ///
    /// # Errors
    /// If the machine runs, or has no such core.
    pub fn registers(&mut self, core: u32) -> Result<Registers> {
        let said = self.select(core).and_then(|()| {
            let commands = ["r", "creg", "sreg"].into_iter();
            commands.map(|command| self.debugger.ask(command)).collect()
        });
        let said: Vec<Vec<String>> = self.explain(said)?;
        let value = |name: &str, separator: char| {
            let line = said.iter().flatten().find_map(|line| {
                let (found, value) = line.split_once(separator)?;
                (found.trim_end() == name).then_some(value)
            });
            let digits = line.and_then(|value| value.split([',', ':']).next());
            let digits = digits.map(|digits| digits.trim().replace('_', ""));
            digits.and_then(|digits| u64::from_str_radix(digits.trim_start_matches("0x"), 16).ok())
        };
        let all = || {
            let mut registers = Registers::default();
            for (name, register) in Registers::NAMES.iter().zip(&mut registers.general) {
                *register = value(name, ':')?;
            }
            registers.instruction = value("rip", ':')?;
            registers.code_segment = value("cs", ':')? as u32;
            registers.root = value("CR3", '=')?;
            Some(registers)
        };
        all().ok_or_else(|| Error::failure(format!("core {core} has no registers: {said:?}")))
    }

    /// Sets the register called `name` of core `core` of the stopped machine.
    ///
    /// # Errors
    /// If the machine runs, or has no such core or register.
    pub fn set_register(&mut self, core: u32, name: &str, value: u64) -> Result<()> {
        let done = self
            .select(core)
            .and_then(|()| self.debugger.ask(&format!("set {name} = {value:#x}")));
        let said = self.explain(done)?;
        match said.is_empty() {
            true => Ok(()),
            false => Err(Error::failure(format!(
                "setting {name}: {}",
                said.join(" ")
            ))),
        }
    }

    fn select(&mut self, core: u32) -> Result<()> {
        self.debugger.ask(&format!("set $cpu = {core}")).map(drop)
    }

    /// Time of the host's processors that the emulator has taken, its own start included.
    ///
    /// # Errors
    /// If the emulator has ended.
    pub fn processor_time(&self) -> Result<Duration> {
        self.debugger.processor_time()
    }

    /// Ends the emulator.
    ///
    /// # Errors
    /// If its end cannot be observed.
    pub fn quit(self) -> Result<ExitStatus> {
        self.debugger.quit()
    }

    fn overdue(&mut self) -> Error {
        let seconds = self.bound.as_secs();
        let line = self.last_line();
        Error::failure(format!(
            "the machine did not finish within {seconds} s{line}"
        ))
    }

    /// Adds to an error what the emulator and the machine said last.
    fn explain<T>(&mut self, result: Result<T>) -> Result<T> {
        result.map_err(|error| {
            let (said, line) = (self.folder.errors(), self.last_line());
            Error::failure(format!("{error}{said}{line}"))
        })
    }

    fn last_line(&mut self) -> String {
        match self.console.lines().last() {
            Some(line) => format!("; the last line on its console: {line}"),
            None => "; its console is empty".into(),
        }
    }
}
