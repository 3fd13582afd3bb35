//! The targets of faults: the name of each, what its place names, and a line that says what
//! happens to it.
use crate::place::Site;
use std::fmt;
use tern_config::description::parse_duration;
use tern_units::Duration;

/// The part of a system that a fault hits, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// One bit of any page that the replica's program can write.
    Random,
    /// Nothing: a run without a fault.
    None,
    /// One bit of the replica's code.
    Text,
    /// One bit of its variables.
    Data,
    /// One bit of its heap.
    Heap,
    /// One bit of its stack.
    Stack,
    /// One bit of a general register, while the replica runs.
    Register,
    /// One bit of the page with this position in the program's page list.
    Page(usize),
    /// The replica's instruction pointer, to an invalid instruction.
    Silent,
    /// The replica's instruction pointer, to an endless loop.
    Endless,
    /// A sandbox's core, which executes nothing for this long from a release on.
    Late(Duration),
    /// One bit of a kernel's code.
    KernelText,
    /// One bit of a kernel's variables.
    KernelData,
    /// One bit of a kernel's page tables.
    KernelTable,
    /// A kernel, which panics.
    KernelPanic,
    /// A kernel, which loses its exception handlers: the next exception is a triple fault.
    TripleFault,
    /// A core, which raises a machine check.
    MachineCheck,
    /// A kernel, which reaches for memory that is not its sandbox's.
    Violation,
    /// One bit of a page that a repair's donor is giving.
    Donor,
    /// A kernel, which spins with interrupts off.
    Spin,
    /// The kernel of a set's arbitrator, which panics.
    ArbitratorPanic,
    /// One bit of a voter's state.
    Voter,
    /// One bit of a replica's table of page hashes.
    LeafTable,
    /// One bit of a channel.
    Channel,
    /// One bit of a channel's sealed page.
    SealedPage,
    /// One bit of a sandbox's nested page tables.
    NestedTable,
    /// One bit of any page that the replica's program can write, whatever is written there.
    Stuck,
    /// A replica, which casts the ballot of an earlier epoch.
    BallotStale,
    /// A replica, which casts two different ballots.
    BallotTwice,
    /// A replica, which casts a ballot that is none.
    BallotMalformed,
    /// A replica, which casts ballots without end.
    BallotFlood,
    /// A replica's sandbox, which sends commands that no vote has agreed on.
    Forge,
    /// A device, which loses a frame.
    DeviceDrop,
    /// A device, which sends a frame again.
    DeviceRepeat,
    /// A device, which changes a frame.
    DeviceChange,
    /// A device, which never stops sending.
    DeviceBabble,
}

/// What the grammar and the help say of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// Its name; where it takes a value, with what that is: `page=N`.
    pub shape: &'static str,
    /// What its place names.
    pub site: Site,
    /// What it does.
    pub line: &'static str,
}

impl Target {
    /// One target of each kind, in the order of the help; those with a value have some value.
    pub const ALL: [Self; 36] = [
        Self::Random,
        Self::None,
        Self::Text,
        Self::Data,
        Self::Heap,
        Self::Stack,
        Self::Register,
        Self::Page(1),
        Self::Silent,
        Self::Endless,
        Self::Late(Duration::from_millis(1)),
        Self::KernelText,
        Self::KernelData,
        Self::KernelTable,
        Self::KernelPanic,
        Self::TripleFault,
        Self::MachineCheck,
        Self::Violation,
        Self::Donor,
        Self::Spin,
        Self::ArbitratorPanic,
        Self::Voter,
        Self::LeafTable,
        Self::Channel,
        Self::SealedPage,
        Self::NestedTable,
        Self::Stuck,
        Self::BallotStale,
        Self::BallotTwice,
        Self::BallotMalformed,
        Self::BallotFlood,
        Self::Forge,
        Self::DeviceDrop,
        Self::DeviceRepeat,
        Self::DeviceChange,
        Self::DeviceBabble,
    ];

    /// Returns what the grammar and the help say of this target.
    #[must_use]
    pub const fn about(&self) -> About {
        use Site::{Channel, Device, Replica, Sandbox, Set, Thread, Voter};
        let (shape, site, line) = match self {
            Self::Random => (
                "random",
                Replica,
                "a bit of any page that the program can write",
            ),
            Self::None => ("none", Replica, "nothing"),
            Self::Text => ("text", Replica, "a bit of the program's code"),
            Self::Data => ("data", Replica, "a bit of the program's variables"),
            Self::Heap => ("heap", Replica, "a bit of the program's heap"),
            Self::Stack => ("stack", Replica, "a bit of the program's stack"),
            Self::Register => (
                "register",
                Replica,
                "a bit of a register, in the middle of a job",
            ),
            Self::Page(_) => ("page=N", Replica, "a bit of page N of the program, from 1"),
            Self::Silent => (
                "silent",
                Replica,
                "the program runs into an invalid instruction",
            ),
            Self::Endless => ("endless", Replica, "the program never ends its job"),
            Self::Late(_) => (
                "late=DURATION",
                Thread,
                "the core is held for DURATION as a job is released",
            ),
            Self::KernelText => ("kernel-text", Sandbox, "a bit of the kernel's code"),
            Self::KernelData => ("kernel-data", Sandbox, "a bit of the kernel's variables"),
            Self::KernelTable => ("kernel-table", Sandbox, "a bit of the kernel's page tables"),
            Self::KernelPanic => ("kernel-panic", Sandbox, "the kernel panics"),
            Self::TripleFault => ("triple-fault", Sandbox, "the kernel loses its handlers"),
            Self::MachineCheck => ("machine-check", Sandbox, "the core raises a machine check"),
            Self::Violation => (
                "violation",
                Sandbox,
                "the kernel reaches beyond its sandbox",
            ),
            Self::Donor => (
                "donor",
                Set,
                "a bit of a page that is being copied for a repair",
            ),
            Self::Spin => ("spin", Sandbox, "the kernel spins with interrupts off"),
            Self::ArbitratorPanic => ("arbitrator-panic", Set, "the arbitrator's kernel panics"),
            Self::Voter => ("voter", Set, "a bit of the voter's state"),
            Self::LeafTable => ("leaf-table", Replica, "a bit of the table of page hashes"),
            Self::Channel => ("channel", Channel, "a bit of a channel"),
            Self::SealedPage => ("sealed-page", Channel, "a bit of a page that is sealed"),
            Self::NestedTable => ("nested-table", Sandbox, "a bit of the nested page tables"),
            Self::Stuck => (
                "stuck",
                Replica,
                "a bit of the program's memory that never changes",
            ),
            Self::BallotStale => ("ballot-stale", Replica, "the ballot of an earlier epoch"),
            Self::BallotTwice => ("ballot-twice", Replica, "two different ballots in an epoch"),
            Self::BallotMalformed => ("ballot-malformed", Replica, "a ballot that is none"),
            Self::BallotFlood => ("ballot-flood", Replica, "ballots without end"),
            Self::Forge => ("forge", Voter, "commands that no vote has agreed on"),
            Self::DeviceDrop => ("device-drop", Device, "a frame is lost"),
            Self::DeviceRepeat => ("device-repeat", Device, "a frame comes again"),
            Self::DeviceChange => ("device-change", Device, "a frame is changed"),
            Self::DeviceBabble => ("device-babble", Device, "the device never stops sending"),
        };
        About { shape, site, line }
    }

    /// Returns the target's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        let shape = self.about().shape;
        shape.split_once('=').map_or(shape, |(name, _)| name)
    }

    /// Reads the target called `name` with `value`, where one is given.
    ///
    /// # Errors
    /// What is wrong, with what there is instead.
    pub(crate) fn read(name: &str, value: Option<&str>) -> Result<Self, String> {
        let Some(known) = Self::ALL.iter().find(|it| it.name() == name) else {
            let all = Self::ALL.map(|it| it.about().shape).join(", ");
            return Err(format!("there is no '{name}'; there are {all}"));
        };
        let shape = known.about().shape;
        match (known, value) {
            (Self::Page(_), Some(value)) => match value.parse() {
                Ok(page) if page > 0 => Ok(Self::Page(page)),
                _ => Err(format!("page={value}: pages are counted from 1")),
            },
            (Self::Late(_), Some(value)) => match parse_duration(value)? {
                0 => Err(format!("late={value}: that is no time at all")),
                nanos => Ok(Self::Late(Duration::from_nanos(nanos))),
            },
            (plain, None) if plain.name() == shape => Ok(*plain),
            (_, None) => Err(format!("{name} takes a value: {shape}")),
            (_, Some(value)) => Err(format!("{name} takes no value, not '{value}'")),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        match self {
            Self::Page(page) => write!(out, "{name}={page}"),
            Self::Late(time) => write!(out, "{name}={}", exactly(*time)),
            _ => out.write_str(name),
        }
    }
}

/// Writes a time so that it is read as the same: its usual form is rounded to three decimals.
fn exactly(time: Duration) -> String {
    let usual = time.to_string();
    match parse_duration(&usual) == Ok(time.as_nanos()) {
        true => usual,
        false => format!("{}ns", time.as_nanos()),
    }
}
