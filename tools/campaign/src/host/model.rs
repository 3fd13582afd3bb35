//! A system as the host's search draws it, and its description.
use std::fmt::Write;

/// Ports and lines of the devices.
const PORTS: [(&str, u8); 3] = [("0x2f8", 3), ("0x3e8", 4), ("0x2e8", 5)];

/// A system. Times are nanoseconds; what refers to something does so by its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Model {
    /// The seed that it was drawn by.
    pub seed: u64,
    /// Whose costs count.
    pub platform: &'static str,
    pub sandboxes: Vec<Sandbox>,
    /// How many devices there are.
    pub devices: usize,
    pub doorbells: Vec<Doorbell>,
    pub sets: Vec<Set>,
}

/// A sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sandbox {
    pub devices: Vec<usize>,
    pub servers: Vec<Server>,
}

/// A channel with a doorbell; one more sandbox, that has no servers, writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Doorbell {
    pub interval: u64,
    pub readers: Vec<usize>,
}

/// A replica set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Set {
    pub voted: bool,
    pub sha256: bool,
    pub repairs: bool,
    pub repair_pages: u64,
    pub period: u64,
    pub ballot_deadline: u64,
    pub verdict_deadline: u64,
    pub device: Option<usize>,
}

/// A server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Server {
    pub io: bool,
    pub budget: u64,
    pub period: u64,
    pub deadline: u64,
    pub jitter: u64,
    pub blocking: u64,
    pub priority: Option<u32>,
    pub threads: Vec<Thread>,
}

/// A thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Thread {
    pub wcet: u64,
    pub period: u64,
    pub deadline: u64,
    pub offset: u64,
    /// When jobs come, and what each takes, in place of the clock.
    pub jobs: Vec<(u64, u64)>,
    pub runs: Runs,
}

/// What a thread runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Runs {
    #[default]
    Nothing,
    Program,
    /// The program that simulates a device.
    Plant(usize),
    Driver(usize),
    Replica(usize),
    Voter(usize),
}

impl Model {
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
        writeln!(out, "platform = \"{}\"", self.platform)?;
        for (number, (port, line)) in PORTS.iter().enumerate().take(self.devices) {
            writeln!(out, "\n[[device]]\nname = \"d{number}\"\nport = {port}")?;
            writeln!(out, "interrupt = {line}")?;
        }
        for (number, sandbox) in self.sandboxes.iter().enumerate() {
            writeln!(out, "\n[[sandbox]]\nname = \"s{number}\"\ncore = {number}")?;
            let devices = names("d", &sandbox.devices);
            writeln!(out, "devices = [{devices}]")?;
            for (place, server) in sandbox.servers.iter().enumerate() {
                server.write(out, place)?;
            }
        }
        if !self.doorbells.is_empty() {
            let core = self.sandboxes.len();
            writeln!(out, "\n[[sandbox]]\nname = \"ringer\"\ncore = {core}")?;
        }
        for (number, doorbell) in self.doorbells.iter().enumerate() {
            writeln!(
                out,
                "\n[[channel]]\nname = \"c{number}\"\nwriter = \"ringer\""
            )?;
            writeln!(
                out,
                "readers = [{}]\nsize = \"4KiB\"",
                names("s", &doorbell.readers)
            )?;
            writeln!(out, "doorbell = \"{}ns\"", doorbell.interval)?;
        }
        for (number, set) in self.sets.iter().enumerate() {
            set.write(out, number)?;
        }
        Ok(())
    }
}

impl Set {
    fn write(&self, out: &mut String, number: usize) -> std::fmt::Result {
        writeln!(
            out,
            "\n[[replica_set]]\nname = \"r{number}\"\nprogram = \"p\""
        )?;
        if !self.voted {
            writeln!(out, "voting = \"unprotected\"")?;
        }
        if self.sha256 {
            writeln!(out, "leaf = \"sha256\"")?;
        }
        if !self.repairs {
            writeln!(out, "recovery = \"safe-stop\"")?;
        }
        writeln!(out, "repair_pages = {}", self.repair_pages)?;
        writeln!(out, "period = \"{}ns\"", self.period)?;
        writeln!(out, "ballot_deadline = \"{}ns\"", self.ballot_deadline)?;
        writeln!(out, "verdict_deadline = \"{}ns\"", self.verdict_deadline)?;
        match self.device {
            Some(device) => writeln!(out, "device = \"d{device}\""),
            None => Ok(()),
        }
    }
}

impl Server {
    fn write(&self, out: &mut String, place: usize) -> std::fmt::Result {
        writeln!(out, "\n  [[sandbox.server]]\n  name = \"v{place}\"")?;
        if self.io {
            writeln!(out, "  kind = \"io\"")?;
        }
        writeln!(out, "  budget = \"{}ns\"", self.budget)?;
        writeln!(out, "  period = \"{}ns\"", self.period)?;
        writeln!(out, "  deadline = \"{}ns\"", self.deadline)?;
        writeln!(out, "  jitter = \"{}ns\"", self.jitter)?;
        writeln!(out, "  blocking = \"{}ns\"", self.blocking)?;
        if let Some(priority) = self.priority {
            writeln!(out, "  priority = {priority}")?;
        }
        for (place, thread) in self.threads.iter().enumerate() {
            thread.write(out, place)?;
        }
        Ok(())
    }
}

impl Thread {
    fn write(&self, out: &mut String, place: usize) -> std::fmt::Result {
        writeln!(
            out,
            "\n    [[sandbox.server.thread]]\n    name = \"t{place}\""
        )?;
        writeln!(out, "    wcet = \"{}ns\"", self.wcet)?;
        // What a set's protocol says of its members is not said again.
        if !matches!(self.runs, Runs::Replica(_) | Runs::Voter(_)) {
            writeln!(out, "    period = \"{}ns\"", self.period)?;
            writeln!(out, "    offset = \"{}ns\"", self.offset)?;
        }
        writeln!(out, "    deadline = \"{}ns\"", self.deadline)?;
        if !self.jobs.is_empty() {
            let jobs = self.jobs.iter();
            let jobs = jobs.map(|(at, work)| format!("{{ at = \"{at}ns\", work = \"{work}ns\" }}"));
            writeln!(out, "    jobs = [{}]", jobs.collect::<Vec<_>>().join(", "))?;
        }
        match self.runs {
            Runs::Nothing => Ok(()),
            Runs::Program => writeln!(out, "    program = \"p\""),
            Runs::Plant(device) => {
                writeln!(out, "    program = \"p\"\n    simulates = \"d{device}\"")
            }
            Runs::Driver(device) => writeln!(out, "    driver = \"d{device}\""),
            Runs::Replica(set) => writeln!(out, "    replica = \"r{set}\""),
            Runs::Voter(set) => writeln!(out, "    voter = \"r{set}\""),
        }
    }
}

/// A list of names.
fn names(kind: &str, numbers: &[usize]) -> String {
    let names = numbers.iter().map(|number| format!("\"{kind}{number}\""));
    names.collect::<Vec<_>>().join(", ")
}
