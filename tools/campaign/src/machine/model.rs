//! A system as the search draws it, and its description.
use std::fmt::Write;
use tern_units::Duration;

/// Room for the records of a core in half a second, floods of interrupts included.
const TRACE: &str = "2MiB";
/// Where the port that is flooded is: the second serial port of a PC.
const PORT: &str = "kind = \"serial\"\nport = 0x2f8\ninterrupt = 3";

/// A system: sandboxes that work, and channels whose doorbells ring at them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Model {
    /// The seed that it was drawn by.
    pub seed: u64,
    /// The machine whose costs count.
    pub platform: &'static str,
    /// The sandboxes, each on a core of its own.
    pub sandboxes: Vec<Vec<Server>>,
    /// The doorbells, all rung by one guest.
    pub doorbells: Vec<Doorbell>,
}

/// A channel with a doorbell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Doorbell {
    /// The least time between two rings, and the time between two.
    pub interval: Duration,
    /// The sandboxes that it rings at, by number.
    pub readers: Vec<usize>,
}

/// A server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Server {
    /// Whether it is an I/O server.
    pub io: bool,
    /// Its budget.
    pub budget: Duration,
    /// Its period.
    pub period: Duration,
    /// The deadline of its budget's delivery.
    pub deadline: Duration,
    /// Its threads.
    pub threads: Vec<Thread>,
}

/// A thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Thread {
    /// What it is promised to take at most.
    pub wcet: Duration,
    /// The time between two releases.
    pub period: Duration,
    /// Its deadline.
    pub deadline: Duration,
    /// Its first release.
    pub offset: Duration,
    /// What it runs.
    pub runs: Runs,
}

/// What a thread runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runs {
    /// A program that does this number of steps in each job.
    Steps(u64),
    /// The driver of the port that is flooded.
    Driver,
}

impl Default for Runs {
    fn default() -> Self {
        Self::Steps(0)
    }
}

impl Model {
    /// Returns whether a thread of sandbox `number` drives the port.
    pub fn drives(&self, number: usize) -> bool {
        let servers = self.sandboxes[number].iter();
        let mut threads = servers.flat_map(|it| &it.threads);
        threads.any(|it| it.runs == Runs::Driver)
    }

    /// Returns whether the servers of sandbox `number` ask for more than its core has.
    pub fn overloads(&self, number: usize) -> bool {
        let share = |it: &Server| it.budget.as_nanos() as f64 / it.period.as_nanos() as f64;
        self.sandboxes[number].iter().map(share).sum::<f64>() > 1.0
    }

    /// Writes the description.
    pub fn description(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "# Drawn by seed {}.\n", self.seed)?;
        writeln!(out, "[system]\nname = \"search-{}\"", self.seed)?;
        writeln!(out, "platform = \"{}\"\ntrace = \"{TRACE}\"", self.platform)?;
        if (0..self.sandboxes.len()).any(|it| self.drives(it)) {
            writeln!(out, "\n[[device]]\nname = \"wire\"\n{PORT}")?;
        }
        for (number, servers) in self.sandboxes.iter().enumerate() {
            writeln!(out, "\n[[sandbox]]\nname = \"s{number}\"\ncore = {number}")?;
            writeln!(out, "memory = \"16MiB\"")?;
            if self.drives(number) {
                writeln!(out, "devices = [\"wire\"]")?;
            }
            for (place, server) in servers.iter().enumerate() {
                server.write(out, place)?;
            }
        }
        if self.doorbells.is_empty() {
            return Ok(());
        }
        let core = self.sandboxes.len();
        writeln!(out, "\n[[sandbox]]\nname = \"ringer\"\ncore = {core}")?;
        writeln!(out, "memory = \"4MiB\"\nkernel = \"guest-hostile\"")?;
        writeln!(out, "command_line = \"doorbell-flood\"")?;
        for (number, doorbell) in self.doorbells.iter().enumerate() {
            let readers = doorbell
                .readers
                .iter()
                .map(|reader| format!("\"s{reader}\""));
            let readers = readers.collect::<Vec<_>>().join(", ");
            writeln!(
                out,
                "\n[[channel]]\nname = \"c{number}\"\nwriter = \"ringer\""
            )?;
            writeln!(out, "readers = [{readers}]\nsize = \"4KiB\"")?;
            writeln!(out, "doorbell = \"{}\"", nanos(doorbell.interval))?;
        }
        Ok(())
    }
}

impl Server {
    fn write(&self, out: &mut String, place: usize) -> std::fmt::Result {
        writeln!(out, "\n  [[sandbox.server]]\n  name = \"v{place}\"")?;
        if self.io {
            writeln!(out, "  kind = \"io\"")?;
        }
        writeln!(out, "  budget = \"{}\"", nanos(self.budget))?;
        writeln!(out, "  period = \"{}\"", nanos(self.period))?;
        writeln!(out, "  deadline = \"{}\"", nanos(self.deadline))?;
        for (place, thread) in self.threads.iter().enumerate() {
            writeln!(
                out,
                "\n    [[sandbox.server.thread]]\n    name = \"t{place}\""
            )?;
            writeln!(out, "    wcet = \"{}\"", nanos(thread.wcet))?;
            writeln!(out, "    period = \"{}\"", nanos(thread.period))?;
            writeln!(out, "    deadline = \"{}\"", nanos(thread.deadline))?;
            match thread.runs {
                Runs::Steps(steps) => {
                    writeln!(out, "    offset = \"{}\"", nanos(thread.offset))?;
                    writeln!(out, "    program = \"steps\"\n    argument = {steps}")?;
                }
                Runs::Driver => writeln!(out, "    driver = \"wire\"")?,
            }
        }
        Ok(())
    }
}

/// Writes a time exactly.
fn nanos(time: Duration) -> String {
    format!("{}ns", time.as_nanos())
}
