//! Rules of what a kernel and its machine do beside scheduling: interrupts, calls, exits,
//! processes, faults, the clock.
use tern_abi::hypercall::Hypercall;
use tern_config::Runs;
use tern_trace::{Event, Trace};
use tern_units::{Instant, PAGE_SIZE};

use super::{CoreRules, Possible};
use crate::table::exact_instant;

/// Vectors below are exceptions, which leave no record of an interrupt.
const FIRST_INTERRUPT: u8 = 32;
/// The class of a fault is an exception's vector, or this for a stored context that no program
/// can have.
const BAD_CONTEXT: u16 = 0x100;

/// What is known of a sandbox's machine from the records before.
pub(super) struct Machine {
    /// The interrupt whose handler runs.
    interrupt: Option<u8>,
    /// How many exits of each reason have been recorded.
    exits: Vec<u64>,
    /// The page-table roots of the processes, by thread.
    roots: Vec<Option<u32>>,
    /// Drivers that were woken while they did not wait.
    woken: Vec<bool>,
    /// Drivers that have waited since their last job ended.
    waited: Vec<bool>,
    /// How often the clock was recorded.
    synchronized: u32,
    /// Whether a thread has had the core.
    begun: bool,
    /// Whether a driver has stopped because nothing answers.
    pub(super) lacks_device: bool,
}

impl Machine {
    pub(super) fn new(threads: usize) -> Self {
        Self {
            interrupt: None,
            exits: Vec::new(),
            roots: vec![None; threads],
            woken: vec![false; threads],
            waited: vec![false; threads],
            synchronized: 0,
            begun: false,
            lacks_device: false,
        }
    }

    pub(super) const fn in_interrupt(&self) -> bool {
        self.interrupt.is_some()
    }

    pub(super) const fn is_synchronized(&self) -> bool {
        self.synchronized > 0
    }

    /// Whether the simulator has written what time it is at its end, too.
    pub(super) const fn has_ended(&self) -> bool {
        self.synchronized > 1
    }

    pub(super) const fn switched(&mut self) {
        self.begun = true;
    }

    pub(super) fn has_process(&self, thread: u16) -> bool {
        self.roots[usize::from(thread)].is_some()
    }

    /// A driver is woken that does not wait. Returns whether it had been already.
    pub(super) fn woken(&mut self, thread: u16) -> bool {
        std::mem::replace(&mut self.woken[usize::from(thread)], true)
    }

    /// A driver that was woken sleeps before it looks. Returns whether it was.
    pub(super) fn sleeps(&mut self, thread: u16) -> bool {
        self.waited[usize::from(thread)] = true;
        std::mem::take(&mut self.woken[usize::from(thread)])
    }

    /// A thread waits to be woken. Returns whether a wake that came before should have kept it
    /// from that.
    pub(super) fn waits(&mut self, thread: u16) -> bool {
        self.waited[usize::from(thread)] = true;
        self.woken[usize::from(thread)]
    }

    pub(super) fn job_ended(&mut self, thread: u16) {
        self.waited[usize::from(thread)] = false;
    }

    /// A driver begins a job after its first. Returns whether it was woken for it: it has
    /// waited, or need not.
    pub(super) fn was_woken(&mut self, thread: u16) -> bool {
        let thread = usize::from(thread);
        self.waited[thread] || std::mem::take(&mut self.woken[thread])
    }
}

impl CoreRules<'_> {
    /// What may stand where a record stands: between the two ends of a handler only what the
    /// scheduler decides there; in a simulation first of all the clock.
    pub(super) fn expect_in_place(&self, event: Event) -> Possible {
        let first = self.is_simulated() && !self.machine.is_synchronized();
        if first && !matches!(event, Event::ClockSync { .. }) {
            return Err("the simulator first writes what time it is".to_string());
        }
        if self.is_simulated() && self.machine.has_ended() {
            return Err("a record after the end of the simulation".to_string());
        }
        let Some(vector) = self.machine.interrupt else {
            return Ok(());
        };
        match event {
            Event::Release { .. }
            | Event::Switch { .. }
            | Event::Wake { .. }
            | Event::Exhaust { .. }
            | Event::ReplenishPosted { .. }
            | Event::ReplenishApplied { .. }
            | Event::InterruptOut { .. }
            | Event::Hypercall { .. }
            | Event::ClockSync { .. }
            | Event::Lost { .. } => Ok(()),
            Event::InterruptIn { .. } => Err(format!(
                "an interrupt begins, and the handler of {vector:#04x} has not ended"
            )),
            Event::Block { .. }
            | Event::Complete { .. }
            | Event::Miss { .. }
            | Event::SystemCall { .. }
            | Event::Exit { .. }
            | Event::Process { .. }
            | Event::Fault { .. }
            | Event::Hash { .. }
            | Event::Scrub { .. }
            | Event::Ballot { .. }
            | Event::Vote { .. }
            | Event::RepairStart { .. }
            | Event::RepairPage { .. }
            | Event::RepairEnd { .. }
            | Event::PageGiven { .. }
            | Event::PageConfirmed { .. }
            | Event::Input { .. }
            | Event::Rejoin { .. }
            | Event::Stop { .. }
            | Event::Checkpoint { .. }
            | Event::RollBack { .. }
            | Event::Withheld { .. }
            | Event::Noise { .. }
            | Event::NoDevice { .. } => Err(format!(
                "a thread acts, and the handler of {vector:#04x} has not ended"
            )),
        }
    }

    /// Handlers run with interrupts off: none begins within another.
    pub(super) fn interrupt_in(&mut self, vector: u8) -> Possible {
        self.only_a_machine("interrupt")?;
        if vector < FIRST_INTERRUPT {
            return Err(format!("{vector:#04x} is an exception, and no interrupt"));
        }
        self.machine.interrupt = Some(vector);
        Ok(())
    }

    /// It ends the handler that has begun.
    pub(super) fn interrupt_out(&mut self, vector: u8) -> Possible {
        match self.machine.interrupt.take() {
            Some(begun) if begun == vector => Ok(()),
            Some(begun) => Err(format!(
                "the handler of {vector:#04x} ends, and that of {begun:#04x} has begun"
            )),
            None => Err(format!(
                "the handler of {vector:#04x} ends, and has not begun"
            )),
        }
    }

    /// The running thread's program calls the kernel. It may ask for any number.
    pub(super) fn system_call(&mut self, at: i64, thread: u16) -> Possible {
        self.only_a_machine("system call")?;
        self.acts(at, thread)?;
        self.has_program(thread)
    }

    /// The kernel makes only calls that there are.
    pub(super) fn hypercall(&mut self, number: u16) -> Possible {
        self.only_a_machine("hypercall")?;
        match Hypercall::try_from(u64::from(number)) {
            Ok(_) => Ok(()),
            Err(_) => Err(format!("there is no hypercall {number}")),
        }
    }

    /// Exits have a reason and a count; together no more than the hypervisor counted by the
    /// end. When the kernel looks for them is its own affair.
    pub(super) fn exit(&mut self, reason: u16, count: u32) -> Possible {
        self.only_a_machine("exit")?;
        let place = usize::from(reason);
        if place >= self.trace.exit_reasons.len() {
            return Err(format!("there is no reason {reason} for an exit"));
        }
        if count == 0 {
            return Err("no exit is recorded".to_string());
        }
        let exits = &mut self.machine.exits;
        exits.resize(exits.len().max(place + 1), 0);
        exits[place] = exits[place].saturating_add(count.into());
        let total = self.trace.cores[self.core].exits.get(place).copied();
        match total.unwrap_or(0) {
            total if exits[place] <= total => Ok(()),
            total => Err(format!(
                "{} exits for reason {}, of {total} by the hypervisor's count",
                exits[place],
                self.trace.exit_reason(place)
            )),
        }
    }

    /// The clock's reading is that of the record's own time. A kernel records one, before any
    /// thread runs; the simulator one at each end.
    pub(super) fn clock_sync(&mut self, at: i64, now: Instant) -> Possible {
        let now = Trace::within_horizon(now.as_nanos());
        if now != at {
            return Err(format!(
                "the clock stands at {}, the counter elsewhere",
                exact_instant(now)
            ));
        }
        let again = self.machine.is_synchronized();
        self.machine.synchronized += 1;
        match self.is_simulated() {
            false if again => Err("time begins a second time".to_string()),
            true | false => Ok(()),
        }
    }

    /// A program is loaded before any thread runs, once, to page tables of its own in the
    /// sandbox's memory.
    pub(super) fn process(&mut self, thread: u16, root_frame: u32) -> Possible {
        self.only_a_machine("process")?;
        self.has_program(thread)?;
        let name = self.names.thread_name(thread);
        if self.machine.begun {
            return Err(format!("the program of {name} is loaded after threads ran"));
        }
        if self.machine.has_process(thread) {
            return Err(format!("the program of {name} is loaded a second time"));
        }
        let root = u64::from(root_frame) * PAGE_SIZE as u64;
        let memory = self.system.sandboxes[self.core].memory_bytes;
        if root == 0 || root >= memory {
            return Err(format!(
                "the page tables of {name} are at {root:#x}, outside the sandbox's memory"
            ));
        }
        if self.machine.roots.contains(&Some(root_frame)) {
            return Err(format!("the page tables of {name} are another process's"));
        }
        self.machine.roots[usize::from(thread)] = Some(root_frame);
        Ok(())
    }

    /// The running thread's program raised an exception. At which address is its own affair.
    pub(super) fn fault(&mut self, at: i64, class: u16, thread: u32) -> Possible {
        self.only_a_machine("fault")?;
        if class >= FIRST_INTERRUPT.into() && class != BAD_CONTEXT {
            return Err(format!("{class:#x} is the vector of no exception"));
        }
        let thread = u16::try_from(thread).map_err(|_| "no thread has that number")?;
        self.acts(at, thread)?;
        self.has_program(thread)
    }

    /// The driver of a device, which has the core, tells of its line. How noisy that is is the
    /// device's affair.
    pub(super) fn driver(&mut self, at: i64, device: u16, is_there: bool) -> Possible {
        self.machine.lacks_device |= !is_there;
        self.only_a_machine("device")?;
        let drives = |runs: &Runs| *runs == Runs::Driver(device.into());
        let mut threads = self.names.threads.iter();
        match threads.position(|thread| drives(&thread.runs)) {
            Some(thread) => self.acts(at, thread as u16),
            None => Err(format!("the driver of device {device} is not here")),
        }
    }

    fn has_program(&self, thread: u16) -> Possible {
        match self.runs_program(thread) {
            true => Ok(()),
            false => Err(format!(
                "{} runs no program",
                self.names.thread_name(thread)
            )),
        }
    }
}
