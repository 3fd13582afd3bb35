//! What a fault is put into a machine with: a debugger, before which the machine stands still.
use super::kernel::Kernel;
use crate::emulator::{Memory, Registers};
use crate::error::Result;
use tern_units::HostPhysical;

/// Instants that come again: those from `first` on, each `period`, for `width` each time, in
/// values of the timestamp counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// The first.
    pub first: u64,
    /// The time between two.
    pub period: u64,
    /// How long each lasts.
    pub width: u64,
}

impl Beat {
    pub(super) fn covers(&self, now: u64) -> bool {
        now.checked_sub(self.first)
            .is_some_and(|since| since % self.period < self.width)
    }

    /// Returns the first that begins at `now` or later.
    pub(super) fn next(&self, now: u64) -> u64 {
        let since = now.saturating_sub(self.first);
        self.first + since.next_multiple_of(self.period)
    }
}

/// A function of a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its first instruction.
    pub entry: u64,
    /// The instructions that call it by its address.
    pub calls: Vec<u64>,
}

/// Looks at the memory of a machine now and then while a fault takes several epochs.
pub type Look<'a> = &'a mut dyn FnMut(&Memory) -> Result<()>;

/// A debugger, before which the machine stands still.
pub trait Tool {
    /// The machine's memory.
    fn memory(&self) -> &Memory;

    /// Writes physical memory. Code that Bochs has decoded goes on as it was, until the
    /// machine itself writes there.
    ///
    /// # Errors
    /// If the debugger refuses.
    fn write(&mut self, address: HostPhysical, bytes: &[u8]) -> Result<()>;

    /// Runs until the program with page tables at `root`, whose jobs begin at `begins`, is
    /// `steps` instructions into a job on `core`, and returns the core's registers; `None`
    /// if that does not happen within bounds.
    ///
    /// # Errors
    /// If the debugger refuses.
    fn run_into_job(
        &mut self,
        core: u32,
        root: u64,
        begins: &[u64],
        steps: u32,
    ) -> Result<Option<Registers>>;

    /// Runs until `core` is about to execute the first instruction of the kernel's `function`, and
    /// returns its registers; `None` if the machine has stopped at `stops` calls, and at none of that
    /// core's.
    ///
    /// # Errors
    /// If the debugger refuses.
    fn run_to_call(
        &mut self,
        core: u32,
        function: &Function,
        stops: u32,
    ) -> Result<Option<Registers>>;

    /// Runs until `core`, which is about to execute a function's first instruction, is back at
    /// `back`, whose address is on the stack, at `slot` in physical memory; returns its registers,
    /// `None` if that does not happen within bounds.
    ///
    /// # Errors
    /// If the debugger refuses.
    fn run_to_return(
        &mut self,
        core: u32,
        kernel: &Kernel,
        slot: HostPhysical,
        back: u64,
    ) -> Result<Option<Registers>>;

    /// Sets general register `number`, as [`Registers::general`] counts, of a core.
    ///
    /// # Errors
    /// If the debugger refuses.
    fn set_register(&mut self, core: u32, number: usize, value: u64) -> Result<()>;

    /// Makes a core go on at `address`.
    ///
    /// # Errors
    /// If the debugger refuses.
    fn jump(&mut self, core: u32, address: u64) -> Result<()>;

    /// Runs until `core` takes an interrupt of its timer during `beat`, and returns the timestamp
    /// counter's value there; `None` if that does not happen within bounds.
    ///
    /// # Errors
    /// If the debugger refuses.
    fn run_to_beat(&mut self, core: u32, kernel: &Kernel, beat: &Beat) -> Result<Option<u64>>;

    /// Lets the machine run until the timestamp counter is at `until`, while `core`, which
    /// stands in front of a handler's first instruction, executes nothing; then puts it back
    /// there. Returns the counter's value.
    ///
    /// # Errors
    /// If the debugger refuses.
    fn spin(&mut self, core: u32, kernel: &Kernel, until: u64) -> Result<u64>;
}

/// Whether a core executes the program with page tables at `root`.
pub(super) fn runs(registers: &Registers, root: u64) -> bool {
    const USER: u32 = 3;
    const FRAME: u64 = 0x000f_ffff_ffff_f000;
    registers.root & FRAME == root && registers.code_segment & USER == USER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_covers_its_width_from_the_first_time_on_and_comes_again() {
        let beat = Beat {
            first: 1_000,
            period: 100,
            width: 10,
        };
        for (now, covered, next) in [
            (0, false, 1_000),
            (999, false, 1_000),
            (1_000, true, 1_000),
            (1_009, true, 1_100),
            (1_010, false, 1_100),
            (1_205, true, 1_300),
        ] {
            assert_eq!((beat.covers(now), beat.next(now)), (covered, next), "{now}");
        }
    }
}
