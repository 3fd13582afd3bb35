//! Devices under an adversary, their drivers, and who sends through them.
use tern_sched::{ServerId, ThreadId};

use super::core::Core;
use super::task::{Driver, NextJob, Releases};

/// Jobs of a driver after which what a requester sends is with the device.
const MOST_JOBS_A_REQUEST: u32 = 3;

impl Core<'_> {
    fn driver(&mut self, index: usize) -> Option<&mut Driver> {
        match &mut self.tasks[index].releases {
            Releases::Driver(driver) => Some(driver),
            Releases::Clock { .. } | Releases::Explicit(_) => None,
        }
    }

    /// Returns the first interrupt that the running job does not hold off, and its driver.
    pub(super) fn first_interrupt(&self) -> Option<(u64, usize)> {
        let works_at = self.running().map(|task| self.priority(task));
        let tasks = self.tasks.iter().enumerate();
        let all = tasks.filter_map(|(index, task)| match &task.releases {
            Releases::Driver(driver) => {
                let line = driver.line?;
                let held_off = works_at.is_some_and(|priority| line > priority);
                Some((driver.interrupt.filter(|_| !held_off)?, index))
            }
            Releases::Clock { .. } | Releases::Explicit(_) => None,
        });
        all.min()
    }

    /// Returns the driver whose device has been held off until now, and is not any more.
    pub(super) fn held_off(&self, now: u64) -> Option<usize> {
        let (at, driver) = self.first_interrupt()?;
        (at <= now).then_some(driver)
    }

    /// Lets the device of a driver interrupt the running job; it is off until the driver is done.
    pub(super) fn interrupt(&mut self, index: usize, now: u64) {
        self.counts.interrupts += 1;
        if let Some(driver) = self.driver(index) {
            driver.interrupt = None;
        }
        // The handler is a part of the activation that the driver's job is.
        if let Some(running) = self.running()
            && self.tasks[running].server != self.tasks[index].server
        {
            self.charge(running, self.environment.costs.timer_interrupt.as_nanos());
        }
        self.want(index, now);
    }

    /// Gives a driver something to do: unless it has a job, it sleeps until its next one.
    fn want(&mut self, index: usize, now: u64) {
        if self.driver(index).is_some_and(|driver| !driver.busy) {
            self.plan(index, now);
            self.wait(index);
        }
    }

    /// Plans the next job of a driver that has none, for as soon as it may come.
    pub(super) fn plan(&mut self, index: usize, now: u64) {
        let work = self.tasks[index].wcet;
        let shortfall = self.environment.shortfall;
        let short = shortfall.of(work.saturating_sub(1), &mut self.random);
        let Some(driver) = self.driver(index) else {
            return;
        };
        let begun = driver
            .begun
            .map(|begun| begun.saturating_add(driver.period));
        let release = begun.map_or(now, |earliest| earliest.max(now));
        driver.begun = Some(release);
        driver.busy = true;
        self.tasks[index].next = Some(NextJob {
            arrival: Some(release),
            release,
            work: work - short,
        });
    }

    /// Ends a driver's job: it serves some requesters, and turns its device on.
    pub(super) fn driver_ends(&mut self, index: usize, now: u64) {
        let silence = self.environment.silence;
        let period = self.driver(index).map_or(0, |driver| driver.period);
        let silent = silence.of(period.saturating_mul(2), &mut self.random);
        let mut served = Vec::new();
        let random = &mut self.random;
        if let Releases::Driver(driver) = &mut self.tasks[index].releases {
            driver.busy = false;
            driver.interrupt = driver.line.map(|_| now.saturating_add(silent));
            driver.requesters.retain_mut(|(requester, jobs)| {
                *jobs += 1;
                let done = *jobs >= MOST_JOBS_A_REQUEST || random.u8(..4) > 0;
                if done {
                    served.push(*requester);
                }
                !done
            });
        }
        for requester in served {
            let thread = ThreadId::new(requester as u16);
            self.scheduler.served(thread, &mut self.listener);
        }
        if self
            .driver(index)
            .is_some_and(|it| !it.requesters.is_empty())
        {
            self.plan(index, now);
        }
    }

    /// Lets a task send through the device of its driver, whose server works for it from now on.
    pub(super) fn ask(&mut self, requester: usize) {
        let Some(index) = self.tasks[requester].driver else {
            return;
        };
        self.counts.requests += 1;
        let server = ServerId::new(self.tasks[index].server as u16);
        let thread = ThreadId::new(requester as u16);
        self.scheduler.request(thread, server, &mut self.listener);
        if let Some(driver) = self.driver(index) {
            driver.requesters.retain(|(other, _)| *other != requester);
            driver.requesters.push((requester, 0));
        }
        let now = self.listener.recorder.now.as_nanos();
        self.want(index, now);
    }
}
