//! Faults in QEMU, by its debugger stub: breakpoints, and single steps of one core.
use super::kernel::Kernel;
use super::tool::{Beat, Function, Tool, runs};
use crate::emulator::{Debugger, Machine, Memory, Registers};
use crate::error::{Error, Result};
use tern_units::HostPhysical;

/// Breakpoints that may be waited for until the right core reaches one.
const BREAKPOINTS: u32 = 100;
/// Interrupts of timers that may be seen until the right one comes.
const INTERRUPTS: u32 = 10_000;

/// RDTSC.
const READ_COUNTER: [u8; 2] = [0x0f, 0x31];
/// Waits until the counter is at RSI, and stays. PAUSE lets QEMU's other cores have their
/// turn; between two of them are some instructions, as each costs the host a microsecond.
const SPIN: [u8; 25] = [
    0xf3, 0x90, // 1: pause
    0xb9, 0x40, 0, 0, 0, //    mov ecx, 64
    0xe2, 0xfe, // 2: loop 2b
    0x0f, 0x31, //    rdtsc
    0x48, 0xc1, 0xe2, 0x20, //    shl rdx, 32
    0x48, 0x09, 0xd0, //    or rax, rdx
    0x48, 0x39, 0xf0, //    cmp rax, rsi
    0x72, 0xe9, //    jb 1b
    0xeb, 0xfe, // 3: jmp 3b
];
/// Where it stays.
const SPIN_END: u64 = 23;

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

    /// Sets those of a core's registers that differ between `from` and `to`.
    fn change(&mut self, core: u32, from: &Registers, to: &Registers) -> Result<()> {
        for (number, (before, after)) in from.general.iter().zip(&to.general).enumerate() {
            if before != after {
                self.debugger.set_register(core, number, *after)?;
            }
        }
        self.jump(core, to.instruction)
    }

    /// Runs until `core` is about to execute the instruction at `address`.
    fn run_to(&mut self, core: u32, address: u64, stops: u32) -> Result<Option<Registers>> {
        for _ in 0..stops {
            self.breakpoints(&[address], true)?;
            let stopped = self.debugger.run_to_breakpoint()?;
            self.breakpoints(&[address], false)?;
            if stopped == core {
                return self.debugger.registers(core).map(Some);
            }
            // Some other core: past the breakpoint, and on.
            self.debugger.step(stopped)?;
        }
        Ok(None)
    }

    /// Reads the timestamp counter, by an instruction of `core`'s that it then forgets.
    fn counter(&mut self, core: u32, kernel: &Kernel) -> Result<u64> {
        let before = self.debugger.registers(core)?;
        self.debugger.write(kernel.frame, &READ_COUNTER)?;
        self.jump(core, kernel.room)?;
        self.debugger.step(core)?;
        let after = self.debugger.registers(core)?;
        self.change(core, &after, &before)?;
        Ok(counter_in(&after))
    }
}

/// Puts the counter's value together as RDTSC leaves it: in RDX and RAX.
fn counter_in(registers: &Registers) -> u64 {
    let [low, _, _, high, ..] = registers.general;
    high << 32 | low & 0xffff_ffff
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

    fn run_to_call(
        &mut self,
        core: u32,
        function: &Function,
        stops: u32,
    ) -> Result<Option<Registers>> {
        self.run_to(core, function.entry, stops)
    }

    fn run_to_return(
        &mut self,
        core: u32,
        _kernel: &Kernel,
        _slot: HostPhysical,
        back: u64,
    ) -> Result<Option<Registers>> {
        self.run_to(core, back, BREAKPOINTS)
    }

    fn set_register(&mut self, core: u32, number: usize, value: u64) -> Result<()> {
        self.debugger.set_register(core, number, value)
    }

    fn jump(&mut self, core: u32, address: u64) -> Result<()> {
        self.debugger
            .set_register(core, Registers::INSTRUCTION, address)
    }

    fn run_to_beat(&mut self, core: u32, kernel: &Kernel, beat: &Beat) -> Result<Option<u64>> {
        for _ in 0..INTERRUPTS {
            self.breakpoints(&kernel.timer, true)?;
            let stopped = self.debugger.run_to_breakpoint()?;
            self.breakpoints(&kernel.timer, false)?;
            if stopped == core {
                let now = self.counter(core, kernel)?;
                if beat.covers(now) {
                    return Ok(Some(now));
                }
            }
            // Another core, or another time: past the breakpoint, and on.
            self.debugger.step(stopped)?;
        }
        Ok(None)
    }

    /// The core reads the counter itself, so that the hold ends by the machine's time and not
    /// by the host's. The flags are free: a handler begins with those of nobody.
    fn spin(&mut self, core: u32, kernel: &Kernel, until: u64) -> Result<u64> {
        const RSI: usize = 4;
        let before = self.debugger.registers(core)?;
        self.debugger.write(kernel.frame, &SPIN)?;
        self.debugger.set_register(core, RSI, until)?;
        self.jump(core, kernel.room)?;

        let end = [kernel.room + SPIN_END];
        self.breakpoints(&end, true)?;
        let stopped = self.debugger.run_to_breakpoint()?;
        self.breakpoints(&end, false)?;
        let after = self.debugger.registers(stopped)?;
        if stopped != core || after.instruction != end[0] {
            return Err(Error::failure(format!(
                "core {core} was held, and core {stopped} stopped at {:#x}",
                after.instruction
            )));
        }

        self.change(core, &after, &before)?;
        self.debugger.write(kernel.frame, &[0; SPIN.len()])?;
        Ok(counter_in(&after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_put_together_from_both_registers() {
        let mut registers = Registers::default();
        registers.general[0] = 0xdead_beef_0000_0001;
        registers.general[3] = 2;
        assert_eq!(counter_in(&registers), 0x2_0000_0001);
    }
}
