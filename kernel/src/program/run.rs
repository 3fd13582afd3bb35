//! How a program runs: in ring 3 until its job is done or cut short, its system calls served.
use super::process::{Outcome, Process};
use super::system_call;
use crate::clock;
use crate::cpu::context::Context;
use crate::fault::ProgramFault;
use crate::thread::{self, UserExit};
use tern_units::{GuestPhysical, Instant};

impl Process {
    /// Runs the program until its job is done, it faults, it ends, or `deadline` passes.
    /// System calls other than those are served meanwhile.
    ///
    /// # Panics
    /// In a thread that this program is not bound to.
    pub fn run_until(&mut self, deadline: Instant) -> Outcome {
        loop {
            if deadline != Instant::NEVER && deadline <= clock::now() {
                return Outcome::DeadlineReached;
            }
            // SAFETY: `stay` hands over what is asked for.
            let enter = |root, context| unsafe { thread::run_program(root, context, deadline) };
            if let Some(outcome) = self.stay(enter) {
                return outcome;
            }
        }
    }

    /// Sleeps until `release`, at which job number `job` of the running thread is
    /// released, then runs the program until its job is done, it faults, or it ends.
    ///
    /// # Panics
    /// In a thread that this program is not bound to.
    pub fn run_from(&mut self, release: Instant, job: u32) -> Outcome {
        // SAFETY: `stay` hands over what is asked for.
        let enter =
            |root, context| unsafe { thread::run_program_from(root, context, release, job) };
        match self.stay(enter) {
            Some(outcome) => outcome,
            None => self.run_until(Instant::NEVER),
        }
    }

    /// One stay in ring 3, by `enter`, which is given the page tables and the sanitized
    /// context. `None` where the program is to go on after it.
    fn stay(
        &mut self,
        enter: impl FnOnce(GuestPhysical, *const Context) -> UserExit,
    ) -> Option<Outcome> {
        if !self.context_mut().sanitize_user() {
            let instruction = self.context().frame.rip;
            return Some(Outcome::Fault(ProgramFault {
                vector: ProgramFault::BAD_CONTEXT,
                error: 0,
                address: instruction,
                instruction,
            }));
        }
        // `self` is borrowed exclusively, so nothing borrows the program's memory.
        match enter(self.root(), self.context()) {
            UserExit::Cancelled => return Some(Outcome::DeadlineReached),
            UserExit::Fault(fault) => return Some(Outcome::Fault(fault)),
            UserExit::SystemCall => {}
        }
        let outcome = system_call::serve(self)?;
        if outcome == Outcome::JobDone {
            self.context_mut().forget_last_float_instruction();
        }
        Some(outcome)
    }
}
