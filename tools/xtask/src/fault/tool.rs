//! What a fault is put into a machine with: the debugger of the emulator that it is in.
use crate::emulator::{Debugger, Machine, Memory, Registers, bochs};
use crate::error::Result;
use tern_units::HostPhysical;

/// Breakpoints that may be waited for until the right core reaches one.
const BREAKPOINTS: u32 = 100;
/// Ticks between two looks at a core in Bochs: fewer than a job of any program takes.
const LOOK: u32 = 1_000;
/// Looks at most: two seconds of the machine's time.
const LOOKS: u32 = 200_000;

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
}

/// Whether a core executes the program with page tables at `root`.
fn runs(registers: &Registers, root: u64) -> bool {
    const USER: u32 = 3;
    const FRAME: u64 = 0x000f_ffff_ffff_f000;
    registers.root & FRAME == root && registers.code_segment & USER == USER
}

/// The debugger stub of QEMU.
#[derive(Debug)]
pub(super) struct Stub<'a> {
    memory: &'a Memory,
    debugger: Debugger,
}

impl<'a> Stub<'a> {
    /// Stops `machine`.
    pub(super) fn attach(machine: &'a Machine) -> Result<Self> {
        Ok(Self {
            memory: &machine.memory,
            debugger: machine.debugger()?,
        })
    }

    /// Lets the machine go on.
    pub(super) fn detach(self) -> Result<()> {
        self.debugger.detach()
    }

    fn breakpoints(&mut self, addresses: &[u64], set: bool) -> Result<()> {
        let mut addresses = addresses.iter();
        addresses.try_for_each(|address| self.debugger.breakpoint(*address, set))
    }
}

impl Tool for Stub<'_> {
    fn memory(&self) -> &Memory {
        self.memory
    }

    fn write(&mut self, address: HostPhysical, bytes: &[u8]) -> Result<()> {
        self.debugger.write(address, bytes)
    }

    fn run_into_job(
        &mut self,
        core: u32,
        root: u64,
        begins: &[u64],
        steps: u32,
    ) -> Result<Option<Registers>> {
        for _ in 0..BREAKPOINTS {
            self.breakpoints(begins, true)?;
            let stopped = self.debugger.run_to_breakpoint()?;
            self.breakpoints(begins, false)?;
            if stopped == core && runs(&self.debugger.registers(core)?, root) {
                for _ in 0..steps {
                    self.debugger.step(core)?;
                }
                let registers = self.debugger.registers(core)?;
                if runs(&registers, root) {
                    return Ok(Some(registers));
                }
            }
            // Some other core: past the breakpoint, and on.
            self.debugger.step(stopped)?;
        }
        Ok(None)
    }

    fn set_register(&mut self, core: u32, number: usize, value: u64) -> Result<()> {
        self.debugger.set_register(core, number, value)
    }

    fn jump(&mut self, core: u32, address: u64) -> Result<()> {
        self.debugger
            .set_register(core, Registers::INSTRUCTION, address)
    }
}

impl Tool for bochs::Machine {
    fn memory(&self) -> &Memory {
        &self.memory
    }

    fn write(&mut self, address: HostPhysical, bytes: &[u8]) -> Result<()> {
        bochs::Machine::write(self, address, bytes)
    }

    /// Breakpoints do not stop a machine that runs for a number of ticks: it is looked at
    /// often instead, and the job is some instructions older.
    fn run_into_job(
        &mut self,
        core: u32,
        root: u64,
        _begins: &[u64],
        steps: u32,
    ) -> Result<Option<Registers>> {
        for _ in 0..LOOKS {
            self.run_for(LOOK)?;
            if !runs(&self.registers(core)?, root) {
                continue;
            }
            self.run_for(steps.max(1))?;
            let registers = self.registers(core)?;
            if runs(&registers, root) {
                return Ok(Some(registers));
            }
        }
        Ok(None)
    }

    fn set_register(&mut self, core: u32, number: usize, value: u64) -> Result<()> {
        let name = Registers::NAMES[number];
        bochs::Machine::set_register(self, core, name, value)
    }

    fn jump(&mut self, core: u32, address: u64) -> Result<()> {
        bochs::Machine::set_register(self, core, "rip", address)
    }
}
