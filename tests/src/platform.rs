//! The machines that tests run on, QEMU's and those of Bochs, behind one interface.
use crate::{Built, Emulator};
use std::fmt;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;
use tern_abi::directory::{ExitReason, Violation};
use tern_config::System;
use tern_trace::{Core, Kind, Trace};
use xtask::emulator::bochs::{self, Model};
use xtask::emulator::{self, Directory, ExitCounts, Memory, Registers, directory};
use xtask::run::machine::{InBochs, InQemu, Watched};
use xtask::{record, setup};

/// How long a machine may run, in the host's time,
const BOUND: Duration = Duration::from_secs(180);
/// and in its own, where that is exact.
const MOST: Duration = Duration::from_secs(10);
/// Between two looks at a machine: of its own time in Bochs, of the host's in QEMU.
const LOOK: Duration = Duration::from_millis(10);

/// A machine that tests run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// One of QEMU's, with AMD-V.
    Qemu(Emulator),
    /// One of Bochs's, with AMD-V or VT-x.
    Bochs(Model),
}

/// QEMU as installed: AMD-V without x2APIC.
pub const QEMU: Platform = Platform::Qemu(Emulator::Installed);
/// QEMU 10: AMD-V with x2APIC.
pub const QEMU_10: Platform = Platform::Qemu(Emulator::Qemu10);
/// Bochs's Tiger Lake: VT-x with x2APIC.
pub const BOCHS_INTEL: Platform = Platform::Bochs(Model::Intel);
/// Bochs's Ryzen: AMD-V without x2APIC.
pub const BOCHS_AMD: Platform = Platform::Bochs(Model::Amd);

impl Platform {
    /// Whether its processors are Intel's, with VT-x.
    #[must_use]
    pub fn has_vt_x(self) -> bool {
        self == BOCHS_INTEL
    }

    /// How long kernels get to set themselves up there. A small one needs 10 ms of a core's
    /// time; QEMU's cores share the time of one.
    fn lead(self) -> Duration {
        Duration::from_millis(match self {
            Self::Qemu(_) => 150,
            Self::Bochs(_) => 60,
        })
    }

    /// Whether its sandboxes own their APICs.
    #[must_use]
    pub fn has_x2apic(self) -> bool {
        [QEMU_10, BOCHS_INTEL].contains(&self)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match *self {
            Self::Qemu(Emulator::Installed) => "QEMU",
            Self::Qemu(Emulator::Qemu10) => "QEMU 10",
            Self::Bochs(Model::Intel) => "bochs-intel",
            Self::Bochs(Model::Amd) => "bochs-amd",
        })
    }
}

/// Makes one test of `$body`, a function of the platform, for each machine named.
#[macro_export]
macro_rules! on_each_machine {
    ($($name:ident => $body:expr;)*) => {
        $(
            mod $name {
                #[allow(unused_imports)]
                use super::*;
                #[test]
                fn on_qemu() {
                    ($body)($crate::QEMU);
                }
                #[test]
                fn on_qemu_10() {
                    ($body)($crate::QEMU_10);
                }
                #[test]
                fn on_bochs_intel() {
                    ($body)($crate::BOCHS_INTEL);
                }
                #[test]
                fn on_bochs_amd() {
                    ($body)($crate::BOCHS_AMD);
                }
            }
        )*
    };
}

/// Jobs of a sandbox since its start: counted, whether their records are kept or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Jobs {
    /// Completed.
    pub completed: u64,
    /// Not completed by their deadline.
    pub missed: u64,
}

/// What is at the other end of a machine's second serial port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Nothing.
    Silent,
    /// A device that sends zeros without end, as fast as the line takes them.
    Flood,
    /// A device that sends this number of random bytes. Under QEMU alone.
    Noise(usize),
}

impl Wire {
    /// The file that stands for it in Bochs.
    fn file(self) -> Option<PathBuf> {
        match self {
            Self::Silent => None,
            Self::Flood => Some("/dev/zero".into()),
            Self::Noise(_) => panic!("a file that noise is read from would be written over"),
        }
    }

    /// Sends from a thread of its own, until that is all or the machine is gone.
    fn speak_on(self, mut line: UnixStream) {
        let mut left = match self {
            Self::Silent => 0,
            Self::Flood => usize::MAX,
            Self::Noise(bytes) => bytes,
        };
        let mut random = u64::from(self != Self::Flood);
        std::thread::spawn(move || {
            while left > 0 {
                let mut bytes = [0; 512];
                for byte in &mut bytes {
                    // Marsaglia's xorshift, which stays zero where it is.
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    *byte = random as u8;
                }
                let count = left.min(bytes.len());
                if line.write_all(&bytes[..count]).is_err() {
                    return;
                }
                left -= count;
            }
            // The line stays open until the machine closes it.
            let _ = line.read(&mut [0]);
        });
    }
}

/// A machine with a system on it. In Bochs it stands still but for the calls that wait, so
/// the same test sees the same in every run.
#[derive(Debug)]
pub struct Running {
    platform: Platform,
    machine: Machine,
}

#[derive(Debug)]
enum Machine {
    Qemu(InQemu),
    Bochs(InBochs),
}

/// Tests fail where a machine does not do what it is told.
trait OrFail<T> {
    fn or_fail(self, platform: Platform) -> T;
}

impl<T> OrFail<T> for xtask::error::Result<T> {
    #[track_caller]
    fn or_fail(self, platform: Platform) -> T {
        self.unwrap_or_else(|error| panic!("{platform}: {error}"))
    }
}

impl Running {
    /// Starts a machine with `built`.
    ///
    /// # Panics
    /// If it does not start. So do the other functions, if the machine ends or does not get
    /// to what they wait for.
    #[must_use]
    #[track_caller]
    pub fn start(built: &Built, platform: Platform) -> Self {
        Self::start_with(built, platform, Wire::Silent)
    }

    /// Starts a machine with `built` whose console's serial line is as slow as a real one, where
    /// time is the machine's own: in Bochs. QEMU's takes every byte at once.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    #[track_caller]
    pub fn start_with_slow_console(built: &Built, platform: Platform) -> Self {
        Self::start_on(built, platform, Wire::Silent, true)
    }

    /// Starts a machine with `built` and something at the other end of its second serial port.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    #[track_caller]
    pub fn start_with(built: &Built, platform: Platform, wire: Wire) -> Self {
        Self::start_on(built, platform, wire, false)
    }

    #[track_caller]
    fn start_on(built: &Built, platform: Platform, wire: Wire, is_slow: bool) -> Self {
        let lead = format!("lead_ms={}", platform.lead().as_millis());
        let machine = match platform {
            Platform::Qemu(emulator) => {
                let options = emulator::Options {
                    bound: BOUND,
                    command_line: lead,
                    plant: wire != Wire::Silent,
                    ..built.options(emulator)
                };
                let mut machine = crate::start(options, &built.module);
                if let Some(line) = machine.plant.take() {
                    wire.speak_on(line);
                }
                Machine::Qemu(InQemu::new(machine))
            }
            Platform::Bochs(model) => {
                let usual = bochs::Options::for_system(&built.system, built.module.clone(), model);
                let options = bochs::Options {
                    emulator: setup::ensure_bochs().or_fail(platform),
                    bound: BOUND,
                    // With one core Bochs 2.7 skips idle time, and now and then fails an
                    // assertion of its own where a step ends in it.
                    cores: usual.cores.max(2),
                    command_line: format!("{} {lead}", usual.command_line),
                    first_port: is_slow,
                    second_port: wire.file(),
                    ..usual
                };
                let machine = bochs::Machine::start(&options).or_fail(platform);
                Machine::Bochs(InBochs::new(machine, MOST))
            }
        };
        Self { platform, machine }
    }

    /// What it runs on.
    #[must_use]
    pub fn platform(&self) -> Platform {
        self.platform
    }

    /// Lets it run until `done` holds.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        while !done(self) {
            let (platform, lines) = (self.platform, self.lines());
            let last = lines.last().map_or("nothing", String::as_str);
            let went_on = self.watched().pass(LOOK);
            if let Err(error) = went_on {
                panic!("{platform}: waiting for {what}, after '{last}': {error}");
            }
        }
    }

    /// Lets it run for some time: its own in Bochs, the host's in QEMU.
    #[track_caller]
    pub fn run_for(&mut self, time: Duration) {
        let passed = self.watched().pass(time);
        passed.or_fail(self.platform);
    }

    /// Lets it run until a line of its console contains `text`.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) -> String {
        let mut found = None;
        self.until(text, |machine| {
            found = machine.lines().into_iter().find(|line| line.contains(text));
            found.is_some()
        });
        found.unwrap_or_default()
    }

    /// Lets it run until one of its sandboxes ends the run with status 0.
    #[track_caller]
    pub fn run_to_the_end(&mut self) {
        if let Machine::Bochs(InBochs { machine, .. }) = &mut self.machine {
            let stopped = machine.resume().and_then(|()| machine.wait_for_stop());
            stopped.or_fail(self.platform);
        }
        self.wait_for("shut down with status 0");
    }

    /// All lines of its console.
    #[must_use]
    pub fn lines(&mut self) -> Vec<String> {
        self.watched().console().lines().to_vec()
    }

    /// Its directory, once the hypervisor has announced it.
    #[track_caller]
    pub fn directory(&mut self) -> Directory {
        let line = self.wait_for("directory at 0x");
        let address = Directory::address(&line).unwrap_or_else(|| panic!("no address in '{line}'"));
        Directory::read(self.memory(), address).or_fail(self.platform)
    }

    fn watched(&mut self) -> &mut dyn Watched {
        match &mut self.machine {
            Machine::Qemu(machine) => machine,
            Machine::Bochs(machine) => machine,
        }
    }

    /// Its memory.
    pub fn memory(&mut self) -> &Memory {
        self.watched().memory()
    }

    /// The first word of a sandbox's trace ring.
    #[track_caller]
    pub fn first_trace_word(&mut self, sandbox: usize) -> u64 {
        let address = self.directory().entries[sandbox].trace;
        let words = self.memory().words(tern_units::HostPhysical::new(address));
        let [word] = words.or_fail(self.platform);
        word
    }

    /// A sandbox's trace, read while the machine stands still.
    #[track_caller]
    pub fn trace(&mut self, sandbox: usize) -> Core {
        let entry = self.directory().entries[sandbox];
        let name = sandbox.to_string();
        let stood = self.watched().stand_still();
        let core = stood.and_then(|()| record::core(self.memory(), &entry, &name));
        core.or_fail(self.platform)
    }

    /// The trace of all sandboxes, read while the machine stands still.
    #[track_caller]
    pub fn whole_trace(&mut self, system: &System) -> Trace {
        let directory = self.directory();
        let stood = self.watched().stand_still();
        let trace =
            stood.and_then(|()| record::trace(self.memory(), &directory, system, None, Vec::new()));
        trace.or_fail(self.platform)
    }

    /// A sandbox's jobs so far.
    #[track_caller]
    pub fn jobs(&mut self, sandbox: usize) -> Jobs {
        let counters = self.trace(sandbox).counters;
        let count = |kind: Kind| counters.get(kind as usize).copied().unwrap_or(0);
        Jobs {
            completed: count(Kind::Complete),
            missed: count(Kind::Miss),
        }
    }

    /// Lets it run until a sandbox has completed `jobs` jobs more, and sees that none of
    /// its jobs was ever late.
    #[track_caller]
    pub fn goes_on(&mut self, sandbox: usize, jobs: u64) {
        let enough = self.jobs(sandbox).completed + jobs;
        self.until("more jobs", |machine| {
            let now = machine.jobs(sandbox);
            assert_eq!(now.missed, 0, "sandbox {sandbox} on {}", machine.platform);
            now.completed >= enough
        });
    }

    /// How often a sandbox has left to the hypervisor, by reason.
    #[track_caller]
    pub fn exits(&mut self, sandbox: usize) -> ExitCounts {
        let entry = self.directory().entries[sandbox];
        ExitCounts::read(self.memory(), &entry).or_fail(self.platform)
    }

    /// The exits of a sandbox since `earlier`, for the reasons that have any.
    #[track_caller]
    pub fn exits_since(&mut self, sandbox: usize, earlier: ExitCounts) -> Vec<(ExitReason, u64)> {
        self.exits(sandbox).since(earlier).collect()
    }

    /// What stopped a sandbox, if something has.
    #[track_caller]
    pub fn violation(&mut self, sandbox: usize) -> Option<Violation> {
        let entry = self.directory().entries[sandbox];
        directory::violation(self.memory(), &entry).or_fail(self.platform)
    }

    /// The registers of a core, read while the machine stands still.
    #[track_caller]
    pub fn registers(&mut self, core: u32) -> Registers {
        let platform = self.platform;
        match &mut self.machine {
            Machine::Qemu(InQemu { machine, .. }) => {
                let mut debugger = machine.debugger().or_fail(platform);
                let registers = debugger.registers(core).or_fail(platform);
                debugger.detach().or_fail(platform);
                registers
            }
            Machine::Bochs(InBochs { machine, .. }) => machine.registers(core).or_fail(platform),
        }
    }

    /// Lets it run until `wanted` holds for the registers of `core`, and puts the core at
    /// instruction `rip` with stack pointer `rsp`.
    #[track_caller]
    pub fn derail(&mut self, core: u32, wanted: impl Fn(&Registers) -> bool, rip: u64, rsp: u64) {
        let platform = self.platform;
        self.until("such registers", |running| match &mut running.machine {
            Machine::Qemu(InQemu { machine, .. }) => {
                // The machine stands still while a debugger is attached.
                let mut debugger = machine.debugger().or_fail(platform);
                let registers = debugger.registers(core).or_fail(platform);
                let found = wanted(&registers);
                if found {
                    for (register, value) in
                        [(Registers::STACK, rsp), (Registers::INSTRUCTION, rip)]
                    {
                        let set = debugger.set_register(core, register, value);
                        set.or_fail(platform);
                    }
                }
                debugger.detach().or_fail(platform);
                found
            }
            Machine::Bochs(InBochs { machine, .. }) => {
                let registers = machine.registers(core).or_fail(platform);
                let found = wanted(&registers);
                if found {
                    for (register, value) in [("rsp", rsp), ("rip", rip)] {
                        machine
                            .set_register(core, register, value)
                            .or_fail(platform);
                    }
                }
                found
            }
        });
    }

    /// Raises the pin at which every core gets non-maskable interrupts where firmware says so
    /// (LINT1). In QEMU alone.
    #[track_caller]
    pub fn raise_nmi_pins(&mut self) {
        let Machine::Qemu(InQemu { machine, .. }) = &mut self.machine else {
            panic!("{}: nothing raises that pin there", self.platform);
        };
        machine.monitor.raise_nmi_pins().or_fail(self.platform);
    }

    /// Sends a non-maskable interrupt to the core with this APIC id, as a device does: by a
    /// write to the interrupt controllers' memory. In QEMU alone.
    #[track_caller]
    pub fn send_nmi(&mut self, apic_id: u64) {
        const MESSAGES: u64 = 0xfee0_0000;
        const NMI: u32 = 4 << 8;
        let Machine::Qemu(InQemu { machine, .. }) = &mut self.machine else {
            panic!("{}: nothing sends an NMI there", self.platform);
        };
        let mut debugger = machine.debugger().or_fail(self.platform);
        let at = tern_units::HostPhysical::new(MESSAGES | apic_id << 12);
        debugger
            .write(at, &NMI.to_le_bytes())
            .or_fail(self.platform);
        debugger.detach().or_fail(self.platform);
    }
}
