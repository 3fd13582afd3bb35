//! One run under watch: from the machine's first line to what it leaves behind.
use super::machine::Watched;
use super::plan::{Plan, Planned};
use super::view::View;
use super::{Evidence, RunOptions, Verdict};
use crate::emulator::{Directory, ExitCounts, Memory, directory};
use crate::error::{Error, Result};
use crate::fault::aim::Aim;
use crate::fault::inject::Injected;
use crate::fault::program::ReplicaPages;
use crate::plant::{Exchange, Tap};
use crate::{interrupt, record};
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;
use tern_config::{ReplicaSet, System};
use tern_plant::frames::Outcome;
use tern_trace::{InjectedFault, Note, Promises, Trace};
use tern_units::{PAGE_SIZE, TscFrequency};
use trace_viewer::read::SoundTrace;
use trace_viewer::summary::Summary;
use trace_viewer::verdict::conformance::Conformance;

/// What the hypervisor prints before the reason why it does not go on.
const REFUSED: &str = "cannot start: ";
/// What the hypervisor prints when nothing is left to watch.
const ENDED: &str = "every sandbox has stopped";
/// How often the end of a run is tried again for a moment at which no replica runs.
const COMPARISONS: u32 = 5;
/// Time between two looks at the machine.
const LOOK: Duration = Duration::from_millis(2);

/// Where the exchanges with the plant are seen.
pub(super) enum Plant {
    /// At the plant's end: it is on the host.
    Host(Receiver<Exchange>),
    /// On their way: it is in a sandbox.
    Sandbox(Box<Tap>),
}

impl Plant {
    /// The exchanges since the last call.
    fn exchanges(&mut self, memory: &Memory) -> Result<Vec<Exchange>> {
        let receiver = match self {
            Self::Host(receiver) => receiver,
            Self::Sandbox(tap) => return tap.exchanges(memory),
        };
        let mut exchanges = Vec::new();
        loop {
            match receiver.try_recv() {
                Ok(exchange) => exchanges.push(exchange),
                Err(TryRecvError::Disconnected) if exchanges.is_empty() => {
                    return Err(Error::failure("the line to the plant was closed"));
                }
                Err(_) => return Ok(exchanges),
            }
        }
    }
}

/// A machine under watch.
pub(super) struct Session<'a> {
    machine: Box<dyn Watched>,
    directory: Directory,
    system: &'a System,
    set: usize,
    /// What the analysis promises of it.
    promises: Promises,
    options: &'a RunOptions,
    pub(super) view: View,
    plant: Plant,
    incoming: VecDeque<Exchange>,
    exchanges: Vec<Exchange>,
    injected: Vec<(u64, Injected)>,
    first_exits: Vec<ExitCounts>,
    printed: usize,
}

impl<'a> Session<'a> {
    /// Watches a machine that has said where its directory is; `plant` sees the exchanges.
    pub(super) fn new(
        machine: Box<dyn Watched>,
        directory: Directory,
        plant: Plant,
        system: &'a System,
        set: usize,
        promises: Promises,
        options: &'a RunOptions,
    ) -> Self {
        let names = system.replica_sets[set]
            .replicas
            .iter()
            .map(|place| system.sandboxes[place.sandbox as usize].name.clone())
            .collect();
        Self {
            machine,
            directory,
            system,
            set,
            promises,
            options,
            view: View::new(options.epochs, names),
            plant,
            incoming: VecDeque::new(),
            exchanges: Vec::new(),
            injected: Vec::new(),
            first_exits: Vec::new(),
            printed: 0,
        }
    }

    fn replica_set(&self) -> &'a ReplicaSet {
        &self.system.replica_sets[self.set]
    }

    /// Watches every epoch, and injects the faults when their time has come.
    pub(super) fn watch(&mut self, mut plan: Plan) -> Result<()> {
        let epochs = self.options.epochs;
        while self
            .exchanges
            .last()
            .is_none_or(|last| last.command.epoch + 1 < epochs)
        {
            let command = self.next_exchange()?.command;
            if command.status.outcome == Outcome::Stopped {
                break;
            }
            let due = plan.due(command.epoch);
            if let Some(first) = due.first() {
                self.machine.pass(first.delay)?;
            }
            for fault in due {
                self.inject(fault)?;
            }
        }
        Ok(())
    }

    fn inject(&mut self, mut fault: Planned) -> Result<()> {
        let set = self.replica_set();
        let Self {
            machine,
            directory,
            plant,
            incoming,
            ..
        } = self;
        let aim = Aim {
            directory,
            system: self.system,
            set,
            target: fault.target,
            place: fault.place,
            epoch: fault.epoch,
        };
        let injected = machine.inject(&aim, &mut fault.random, &mut |memory| {
            incoming.extend(plant.exchanges(memory)?);
            Ok(())
        })?;
        // Commands that came before the machine was stopped came before the fault.
        self.look()?;
        while let Some(exchange) = self.incoming.pop_front() {
            self.view.show(&exchange);
            self.exchanges.push(exchange);
        }
        let epoch = match &injected.held {
            // Commands have come since the hold began; before it, that of the last epoch whose
            // time was over.
            Some(held) => self.epoch_at(held.from).saturating_sub(1),
            None => self.exchanges.last().map_or(0, |last| last.command.epoch),
        };
        let name = &self.system.sandboxes[injected.place.sandbox as usize].name;
        self.view
            .fault(&format!("{name}, after epoch {epoch}: {}", injected.what));
        self.injected.push((epoch, injected));
        Ok(())
    }

    /// Returns the epoch at a value of the timestamp counter.
    fn epoch_at(&self, tsc: u64) -> u64 {
        let header = &self.directory.header;
        let ticks = tsc.saturating_sub(header.epoch_tsc);
        let time = TscFrequency::from_hertz(header.tsc_hertz).map(|it| it.to_duration(ticks));
        time.map_or(0, |time| time.as_nanos() / self.replica_set().period)
    }

    /// Takes in the exchanges that there have been.
    fn look(&mut self) -> Result<()> {
        let exchanges = self.plant.exchanges(self.machine.memory())?;
        self.incoming.extend(exchanges);
        Ok(())
    }

    fn next_exchange(&mut self) -> Result<Exchange> {
        loop {
            interrupt::check()?;
            self.print_console();
            self.look()?;
            if let Some(exchange) = self.incoming.pop_front() {
                if self.exchanges.is_empty() {
                    self.first_exits = self.exit_counts()?;
                }
                self.view.show(&exchange);
                self.exchanges.push(exchange);
                return Ok(exchange);
            }
            let lines = self.machine.console().lines();
            if lines.iter().any(|line| line.contains(ENDED)) {
                return Err(Error::failure(ENDED));
            }
            self.machine.pass(LOOK)?;
        }
    }

    fn print_console(&mut self) {
        if !self.options.verbose {
            return;
        }
        let lines = self.machine.console().lines();
        for line in &lines[self.printed..] {
            self.view.say(line);
        }
        self.printed = lines.len();
    }

    fn exit_counts(&self) -> Result<Vec<ExitCounts>> {
        let entries = self.directory.entries.iter();
        entries
            .map(|entry| ExitCounts::read(self.machine.memory(), entry))
            .collect()
    }

    /// Adds the console's last lines to an error.
    pub(super) fn explained(&mut self, error: Error) -> Error {
        let lines = self.machine.console().lines();
        let last = &lines[lines.len().saturating_sub(12)..];
        if last.is_empty() || interrupt::asked() {
            return error;
        }
        error.with(&format!(
            "\nthe last lines on the machine's console:\n  {}",
            last.join("\n  ")
        ))
    }

    /// Stops the machine, takes what it recorded, and judges. A trace that no sound machine can
    /// have written is no evidence for anything: then the judgement is an error.
    pub(super) fn finish(mut self) -> Result<(Result<Verdict>, Trace)> {
        self.machine.stand_still()?;
        let last_exits = self.exit_counts()?;
        let mut differing = self.differing_pages();
        for _ in 1..COMPARISONS {
            if differing.as_ref().is_some_and(Vec::is_empty) {
                break;
            }
            // Stopped in the middle of a job: some replicas are ahead of others.
            self.next_exchange()?;
            self.machine.stand_still()?;
            differing = self.differing_pages();
        }
        let epochs = self.options.epochs;
        self.exchanges
            .retain(|exchange| exchange.command.epoch < epochs);
        let mut violations = Vec::new();
        for (sandbox, entry) in self.system.sandboxes.iter().zip(&self.directory.entries) {
            let violation = directory::violation(self.machine.memory(), entry)?;
            violations.extend(violation.map(|violation| (sandbox.name.clone(), violation)));
        }
        let notes = self.injected.iter().map(|(epoch, injected)| {
            let place = &injected.place;
            let sandbox = self.system.sandboxes.get(place.sandbox as usize);
            let thread = sandbox.and_then(|it| it.thread_number(place.server, place.thread));
            Note {
                tsc: Some(injected.tsc),
                sandbox: u16::try_from(place.sandbox).ok(),
                text: format!("fault injected after epoch {epoch}: {}", injected.what),
                fault: thread.map(|thread| InjectedFault {
                    class: injected.target.to_string(),
                    thread: thread as u16,
                    epoch: u32::try_from(epoch + 1).unwrap_or(u32::MAX),
                    held: injected.held.as_ref().map(|held| (held.from, held.until)),
                }),
            }
        });
        let trace = record::trace(
            self.machine.memory(),
            &self.directory,
            self.system,
            Some(self.promises),
            notes.collect(),
        )?;
        self.machine.quit()?;
        let sound = match SoundTrace::of(&trace) {
            Ok(sound) => sound,
            Err(contradiction) => {
                let error = Error::failure(format!("the trace of the run: {contradiction}"));
                return Ok((Err(error), trace));
            }
        };
        let evidence = Evidence {
            system: self.system,
            set: self.set,
            exchanges: &self.exchanges,
            injected: &self.injected,
            exits: self.first_exits.iter().copied().zip(last_exits).collect(),
            violations,
            differing_at_end: differing,
            trace: &trace,
            summary: Summary::from_trace(&sound),
            conformance: Conformance::of(&sound),
        };
        let verdict = Verdict::of(&evidence);
        Ok((Ok(verdict), trace))
    }

    /// Pages in which a replica differs from replica 0, as (replica, position); `None` if
    /// a replica's pages cannot be found.
    fn differing_pages(&self) -> Option<Vec<(usize, usize)>> {
        let set = self.replica_set();
        let memory = self.machine.memory();
        let contents = |replica| -> Option<Vec<Vec<u8>>> {
            let found =
                ReplicaPages::find(memory, &self.directory, self.system, set, replica).ok()?;
            found
                .pages
                .iter()
                .map(|page| memory.bytes(page.frame, PAGE_SIZE).ok())
                .collect()
        };
        let first = contents(0)?;
        let mut differing = Vec::new();
        for replica in 1..set.replicas.len() {
            let other = contents(replica)?;
            if other.len() != first.len() {
                return None;
            }
            let pages = first.iter().zip(&other).enumerate();
            let unequal = pages.filter(|(_, (first, other))| first != other);
            differing.extend(unequal.map(|(page, _)| (replica, page)));
        }
        Some(differing)
    }
}

/// Waits until the machine can be watched, and returns its directory.
///
/// # Errors
/// If it refuses to start, or ends.
pub(super) fn boot(machine: &mut dyn Watched) -> Result<Directory> {
    loop {
        let lines = machine.console().lines();
        let told = lines
            .iter()
            .find_map(|line| match line.split_once(REFUSED) {
                Some((_, reason)) => {
                    let reason = format!("the machine cannot start: {reason}");
                    Some(Err(Error::input(reason)))
                }
                None => Directory::address(line).map(Ok),
            });
        if let Some(address) = told {
            return Directory::read(machine.memory(), address?);
        }
        interrupt::check()?;
        machine.pass(LOOK)?;
    }
}
