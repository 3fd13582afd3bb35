//! A machine as a run watches it, whichever emulator it is in.
use crate::emulator::bochs::configuration::TICKS_PER_SECOND;
use crate::emulator::{self, Console, Memory, bochs};
use crate::error::{Error, Result};
use crate::fault::aim::Aim;
use crate::fault::inject::{Injected, inject, inject_in_bochs};
use crate::fault::tool::Look;
use std::time::Duration;

/// What a run needs of a machine.
pub trait Watched {
    /// What it prints.
    fn console(&mut self) -> &mut Console;

    /// Its memory.
    fn memory(&self) -> &Memory;

    /// Lets it run for some time: of its own where that is exact, else of the host's.
    ///
    /// # Errors
    /// If it has ended, or its bound has passed.
    fn pass(&mut self, time: Duration) -> Result<()>;

    /// Makes it stand still, until the next [`Watched::pass`].
    ///
    /// # Errors
    /// If it does not obey.
    fn stand_still(&mut self) -> Result<()>;

    /// Puts a fault into it.
    ///
    /// # Errors
    /// As [`inject`].
    fn inject(
        &mut self,
        aim: &Aim<'_>,
        random: &mut fastrand::Rng,
        look: Look<'_>,
    ) -> Result<Injected>;

    /// Ends the emulator.
    ///
    /// # Errors
    /// If its end cannot be observed.
    fn quit(self: Box<Self>) -> Result<()>;
}

/// A machine in QEMU, which runs by itself unless it is stopped.
#[derive(Debug)]
pub struct InQemu {
    /// The machine.
    pub machine: emulator::Machine,
    stopped: bool,
}

impl InQemu {
    /// A machine that runs.
    #[must_use]
    pub const fn new(machine: emulator::Machine) -> Self {
        let stopped = false;
        Self { machine, stopped }
    }
}

impl Watched for InQemu {
    fn console(&mut self) -> &mut Console {
        &mut self.machine.console
    }

    fn memory(&self) -> &Memory {
        &self.machine.memory
    }

    fn pass(&mut self, time: Duration) -> Result<()> {
        if std::mem::take(&mut self.stopped) {
            self.machine.monitor.resume()?;
        }
        std::thread::sleep(time);
        self.machine.check()
    }

    fn stand_still(&mut self) -> Result<()> {
        self.stopped = true;
        self.machine.monitor.stop()
    }

    fn inject(
        &mut self,
        aim: &Aim<'_>,
        random: &mut fastrand::Rng,
        look: Look<'_>,
    ) -> Result<Injected> {
        inject(&self.machine, aim, random, look)
    }

    fn quit(self: Box<Self>) -> Result<()> {
        self.machine.quit().map(drop)
    }
}

/// A machine in Bochs, which runs only when told for how long: so a run is the same
/// every time.
#[derive(Debug)]
pub struct InBochs {
    /// The machine.
    pub machine: bochs::Machine,
    most: Duration,
}

impl InBochs {
    /// A machine that has not begun to run, and may run for `most` of its time.
    #[must_use]
    pub const fn new(machine: bochs::Machine, most: Duration) -> Self {
        Self { machine, most }
    }
}

impl Watched for InBochs {
    fn console(&mut self) -> &mut Console {
        &mut self.machine.console
    }

    fn memory(&self) -> &Memory {
        &self.machine.memory
    }

    fn pass(&mut self, time: Duration) -> Result<()> {
        let ticks = u32::try_from(ticks_of(time))
            .map_err(|_| Error::failure(format!("{time:?} is more than Bochs runs at a time")))?;
        let stop = self.machine.run_for(ticks.max(1))?;
        if u128::from(stop.ticks) > ticks_of(self.most) {
            let most = self.most;
            return Err(Error::failure(format!(
                "the machine did not finish within {most:?} of its time"
            )));
        }
        self.machine.check()
    }

    fn stand_still(&mut self) -> Result<()> {
        Ok(())
    }

    fn inject(
        &mut self,
        aim: &Aim<'_>,
        random: &mut fastrand::Rng,
        look: Look<'_>,
    ) -> Result<Injected> {
        inject_in_bochs(&mut self.machine, aim, random, look)
    }

    fn quit(self: Box<Self>) -> Result<()> {
        self.machine.quit().map(drop)
    }
}

fn ticks_of(time: Duration) -> u128 {
    time.as_nanos() * u128::from(TICKS_PER_SECOND) / 1_000_000_000
}
