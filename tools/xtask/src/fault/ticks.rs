//! Faults in Bochs, by its debugger: it runs for exact numbers of ticks, and is looked at
//! between.
use super::kernel::Kernel;
use super::tool::{Beat, Function, Tool, runs};
use crate::emulator::{Memory, Registers, bochs};
use crate::error::Result;
use tern_units::HostPhysical;

/// Ticks between two looks at a core in Bochs: fewer than a job of any program takes.
const LOOK: u32 = 1_000;
/// Looks at most: two seconds of the machine's time.
const LOOKS: u32 = 200_000;
/// The same while a function runs that takes no longer than a job.
const RETURN_LOOK: u32 = 50;
/// Beats in Bochs of which one has to be seen.
const BEATS: u32 = 4;
/// Ticks in Bochs in which an interrupt that is due arrives: no section that it has to wait
/// for is as long.
const ARRIVAL: u32 = 5_000;
/// Bytes from the handler's entry in which Bochs is seen there: with the interrupt's arrival it
/// executes the first instruction.
const ENTRY: u64 = 5;
/// A jump to itself.
const STAY: [u8; 2] = [0xeb, 0xfe];

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

    /// Where a core's turn ends Bochs does not look for a breakpoint. So there is one at the call,
    /// too: between two ends of turns are more instructions than one.
    fn run_to_call(
        &mut self,
        core: u32,
        function: &Function,
        stops: u32,
    ) -> Result<Option<Registers>> {
        let places: Vec<u64> = [function.entry]
            .into_iter()
            .chain(function.calls.iter().copied())
            .collect();
        for _ in 0..stops {
            self.run_to_one_of(&places)?;
            if function.calls.contains(&self.registers(core)?.instruction) {
                self.run_for(1)?;
            }
            let registers = self.registers(core)?;
            if registers.instruction == function.entry {
                return Ok(Some(registers));
            }
        }
        Ok(None)
    }

    /// The function returns to a jump to itself instead.
    fn run_to_return(
        &mut self,
        core: u32,
        kernel: &Kernel,
        slot: HostPhysical,
        back: u64,
    ) -> Result<Option<Registers>> {
        self.write(kernel.frame, &STAY)?;
        self.write(slot, &kernel.room.to_le_bytes())?;
        for _ in 0..LOOKS {
            self.run_for(RETURN_LOOK)?;
            if self.registers(core)?.instruction == kernel.room {
                self.jump(core, back)?;
                self.write(kernel.frame, &[0; STAY.len()])?;
                return self.registers(core).map(Some);
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

    /// Runs to where the beat begins, and from there to the timer's handler tick by tick.
    fn run_to_beat(&mut self, core: u32, kernel: &Kernel, beat: &Beat) -> Result<Option<u64>> {
        for _ in 0..BEATS {
            let mut now = self.run_for(1)?.ticks;
            let due = beat.next(now);
            while now < due {
                let ticks = u32::try_from(due - now).unwrap_or(u32::MAX);
                now = self.run_for(ticks)?.ticks;
            }
            for _ in 0..ARRIVAL {
                let at = self.registers(core)?.instruction;
                if kernel
                    .timer
                    .iter()
                    .any(|entry| (*entry..*entry + ENTRY).contains(&at))
                {
                    return Ok(Some(now));
                }
                now = self.run_for(1)?.ticks;
            }
        }
        Ok(None)
    }

    /// The counter counts the machine's ticks, and one of those is an instruction.
    fn spin(&mut self, core: u32, kernel: &Kernel, until: u64) -> Result<u64> {
        let before = self.registers(core)?;
        self.write(kernel.frame, &STAY)?;
        self.jump(core, kernel.room)?;
        let mut now = self.run_for(1)?.ticks;
        while now < until {
            let ticks = u32::try_from(until - now).unwrap_or(u32::MAX);
            now = self.run_for(ticks)?.ticks;
        }
        self.jump(core, before.instruction)?;
        self.write(kernel.frame, &[0; STAY.len()])?;
        Ok(now)
    }
}
