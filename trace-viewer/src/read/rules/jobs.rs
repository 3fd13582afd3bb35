//! Which of a thread's jobs are under way: they are released and end one after the other.

/// The jobs of one thread that have ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Jobs {
    /// The first job that has not ended; those of a driver come round again.
    next_to_end: u32,
    last: Option<Ended>,
}

/// How a thread's last job ended.
#[derive(Clone, Copy, Debug)]
struct Ended {
    job: u32,
    /// Whether it was completed, and may still be said to have been late.
    completed: bool,
}

/// What a record of a miss says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missed {
    /// The job that was just completed was late.
    Late,
    /// The job under way will not be completed.
    Cancelled,
}

impl Jobs {
    /// Whether all of the first `released` jobs have ended.
    pub(super) const fn all_ended(self, released: u32) -> bool {
        self.next_to_end == released
    }

    /// Ends a job, one of the `released` first.
    pub(super) fn complete(&mut self, job: u32, released: u32) -> Result<(), String> {
        self.expect_next(job, released)?;
        self.end(job, true);
        Ok(())
    }

    /// Takes in that a job, one of the `released` first, missed its deadline.
    pub(super) fn miss(&mut self, job: u32, released: u32) -> Result<Missed, String> {
        if let Some(last) = self.last.take_if(|last| last.job == job && last.completed) {
            let completed = false;
            self.last = Some(Ended { completed, ..last });
            return Ok(Missed::Late);
        }
        self.expect_next(job, released)?;
        self.end(job, false);
        Ok(Missed::Cancelled)
    }

    fn expect_next(self, job: u32, released: u32) -> Result<(), String> {
        if job != self.next_to_end {
            return Err(format!(
                "job {job} ends, and job {} is the next to",
                self.next_to_end
            ));
        }
        match self.all_ended(released) {
            true => Err(format!("job {job} ends before it is released")),
            false => Ok(()),
        }
    }

    fn end(&mut self, job: u32, completed: bool) {
        self.next_to_end = job.wrapping_add(1);
        self.last = Some(Ended { job, completed });
    }
}
