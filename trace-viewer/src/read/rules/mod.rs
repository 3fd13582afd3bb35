//! What a sound machine can write, record by record: for each kind of event its rule, or why
//! there is none.
//!
//! A rule follows from what the kernel (or the simulator) does, whatever its programs do and
//! whatever faults hit their memory. It never asks whether that was right: budgets and their
//! replenishments are judged by `verdict::conformance`, deadlines by `verdict`.
mod across;
mod jobs;
mod machine;
mod scheduler;
mod sets;
mod totals;

use tern_config::System;
use tern_trace::{Event, Origin, Trace};

use super::Threads;
use crate::layout::CoreLayout;
pub(super) use across::Across;
use jobs::Jobs;
use machine::Machine;
pub(super) use totals::counters;

/// Whether something is possible; the error says why not.
type Possible = Result<(), String>;

/// The rules of one sandbox's records, and what is known from those before.
pub(super) struct CoreRules<'a> {
    trace: &'a Trace,
    system: &'a System,
    names: &'a CoreLayout,
    /// The sandbox's number.
    core: usize,
    threads: Threads,
    jobs: Vec<Jobs>,
    machine: Machine,
    sets: Vec<sets::SetRecords>,
    latest: u64,
    /// Whether records are missing before: then only what each one says by itself is known.
    blind: bool,
}

impl<'a> CoreRules<'a> {
    /// The rules before the first record of sandbox number `core`.
    pub(super) fn new(
        trace: &'a Trace,
        system: &'a System,
        names: &'a CoreLayout,
        core: usize,
    ) -> Self {
        Self {
            trace,
            system,
            names,
            core,
            threads: Threads::new(names, trace.origin),
            jobs: vec![Jobs::default(); names.threads.len()],
            machine: Machine::new(names.threads.len()),
            sets: vec![sets::SetRecords::default(); system.replica_sets.len()],
            latest: 0,
            blind: trace.cores[core].overwritten > 0,
        }
    }

    /// Takes in a record, unless it is impossible.
    pub(super) fn record(&mut self, tsc: u64, event: Event, across: &mut Across) -> Possible {
        if tsc < self.latest {
            let [latest, tsc] = [self.latest, tsc].map(|tsc| self.trace.nanos(tsc));
            return Err(format!(
                "time runs backwards, by {}",
                crate::table::signed_span(latest.saturating_sub(tsc))
            ));
        }
        self.latest = tsc;
        let at = self.trace.nanos(tsc);
        self.refers(event)?;
        if let Event::Lost { .. } = event {
            self.blind = true;
        }
        if self.blind {
            return Ok(());
        }
        self.rule(at, event, across)?;
        self.threads.apply(at, event, self.names);
        Ok(())
    }

    /// The records end: a simulation's with the clock, a machine's wherever it was stopped.
    pub(super) fn end(self, across: &mut Across) -> Possible {
        if self.blind {
            return Ok(());
        }
        across.ends(self.core, &self.threads, self.names.threads.len());
        let simulated_to_its_end = !self.is_simulated() || self.machine.has_ended();
        match simulated_to_its_end || self.trace.cores[self.core].records.is_empty() {
            true => Ok(()),
            false => Err("the simulation has no end".to_string()),
        }
    }

    /// The rule of each kind of event.
    fn rule(&mut self, at: i64, event: Event, across: &mut Across) -> Possible {
        self.expect_in_place(event)?;
        match event {
            Event::Release { thread, job } => self.release(at, thread, job),
            Event::Switch { thread } => self.switch(at, thread),
            Event::Block { thread, until } => self.block(at, thread, until, across),
            Event::Wake { thread, .. } => self.wake(at, thread),
            Event::Noise { device, .. } => self.driver(at, device, true),
            Event::NoDevice { device } => self.driver(at, device, false),
            Event::Complete { thread, job } => self.complete(at, thread, job),
            Event::Miss { thread, job } => self.miss(at, thread, job),
            Event::Exhaust { server, amount, .. } => self.exhaust(at, server, amount),
            Event::ReplenishPosted { server, amount, .. } => self.posted(at, server, amount),
            Event::ReplenishApplied { server, amount } => self.applied(at, server, amount),
            Event::InterruptIn { vector } => self.interrupt_in(vector),
            Event::InterruptOut { vector } => self.interrupt_out(vector),
            Event::SystemCall { thread, .. } => self.system_call(at, thread),
            Event::Hypercall { number } => self.hypercall(number),
            Event::Exit { reason, count } => self.exit(reason, count),
            Event::ClockSync { now } => self.clock_sync(at, now),
            Event::Process { thread, root_frame } => self.process(thread, root_frame),
            Event::Fault { class, detail, .. } => self.fault(at, class, detail),
            // Which pages a job writes, and are hashed for it, is its own affair.
            Event::Hash { set, .. } | Event::Scrub { set, .. } => self.replica(at, set).map(|_| ()),
            Event::Ballot { set, epoch } => self.ballot(at, set, epoch, across),
            Event::Vote {
                set,
                epoch,
                outcome,
                parties,
            } => self.vote(at, set, epoch, (outcome, parties), across),
            Event::RepairStart { set, .. } => self.repair_start(at, set, across),
            // Which pages differ is known to the voter and the replicas alone.
            Event::RepairPage { set, .. } => self.repair_page(at, set),
            Event::RepairEnd { set, copied, .. } => self.repair_end(at, set, copied),
            Event::PageGiven { set, .. } => self.page_given(at, set, across),
            Event::PageConfirmed { set, .. } => self.page_confirmed(at, set, across),
            Event::Input { set, epoch, .. } => self.input(at, set, epoch),
            Event::Rejoin { set, epoch } => self.rejoin(at, set, epoch),
            Event::Stop { set, epoch } => self.stop(at, set, epoch),
            Event::Checkpoint { set, .. } | Event::RollBack { set, .. } => self.checkpoint(at, set),
            Event::Withheld { set, epoch, reason } => self.withheld(at, set, epoch, reason),
            // It blinds: what follows has no rule but of itself.
            Event::Lost { .. } => Ok(()),
        }
    }

    /// Whether what a record names is there: it holds for any record, whatever came before.
    fn refers(&self, event: Event) -> Possible {
        match event {
            Event::Release { thread, .. }
            | Event::Switch {
                thread: Some(thread),
            }
            | Event::Block { thread, .. }
            | Event::Wake { thread, .. }
            | Event::Complete { thread, .. }
            | Event::Miss { thread, .. }
            | Event::SystemCall { thread, .. }
            | Event::Process { thread, .. } => self.knows_thread(thread.into()),
            Event::Fault { detail, .. } => self.knows_thread(detail),
            Event::Exhaust { server, .. }
            | Event::ReplenishPosted { server, .. }
            | Event::ReplenishApplied { server, .. } => self.knows_server(server),
            Event::Hash { set, .. }
            | Event::Ballot { set, .. }
            | Event::Vote { set, .. }
            | Event::RepairStart { set, .. }
            | Event::RepairPage { set, .. }
            | Event::RepairEnd { set, .. }
            | Event::PageGiven { set, .. }
            | Event::PageConfirmed { set, .. }
            | Event::Scrub { set, .. }
            | Event::Input { set, .. }
            | Event::Rejoin { set, .. }
            | Event::Stop { set, .. }
            | Event::Checkpoint { set, .. }
            | Event::RollBack { set, .. }
            | Event::Withheld { set, .. } => self.knows_set(set),
            Event::Noise { device, .. } | Event::NoDevice { device } => self.knows_device(device),
            Event::Lost { .. } if self.trace.cores[self.core].losses() == 0 => {
                Err("records are said to be lost, and the ring says that none is".to_string())
            }
            Event::Switch { thread: None }
            | Event::InterruptIn { .. }
            | Event::InterruptOut { .. }
            | Event::Hypercall { .. }
            | Event::Exit { .. }
            | Event::ClockSync { .. }
            | Event::Lost { .. } => Ok(()),
        }
    }

    fn knows_thread(&self, thread: u32) -> Possible {
        let known = self.names.threads.len();
        match (thread as usize) < known {
            true => Ok(()),
            false => Err(format!("there is no thread {thread}: it has {known}")),
        }
    }

    fn knows_server(&self, server: u16) -> Possible {
        let known = self.names.servers.len();
        match usize::from(server) < known {
            true => Ok(()),
            false => Err(format!("there is no server {server}: it has {known}")),
        }
    }

    fn knows_device(&self, device: u16) -> Possible {
        let known = self.system.devices.len();
        match usize::from(device) < known {
            true => Ok(()),
            false => Err(format!(
                "there is no device {device}: the system has {known}"
            )),
        }
    }

    fn knows_set(&self, set: u16) -> Possible {
        let known = self.system.replica_sets.len();
        match usize::from(set) < known {
            true => Ok(()),
            false => Err(format!(
                "there is no replica set {set}: the system has {known}"
            )),
        }
    }

    /// Whether a thread can do what its record says: it has the core and does not sleep.
    fn acts(&self, at: i64, thread: u16) -> Possible {
        let name = self.names.thread_name(thread);
        match self.threads.running() {
            Some(running) if running != thread => {
                let other = self.names.thread_name(running);
                Err(format!("{name} acts, and {other} has the core"))
            }
            None => Err(format!("{name} acts, and nobody has the core")),
            Some(_) if !self.threads.wants(thread, at) => Err(format!("{name} acts, and sleeps")),
            Some(_) => Ok(()),
        }
    }

    fn is_simulated(&self) -> bool {
        match self.trace.origin {
            Origin::Simulator => true,
            Origin::Machine => false,
        }
    }

    /// The simulator has no machine to write of.
    fn only_a_machine(&self, what: &str) -> Possible {
        match self.is_simulated() {
            true => Err(format!("the simulator writes of no {what}")),
            false => Ok(()),
        }
    }
}
