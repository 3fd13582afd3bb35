//! When the jobs of a thread are released, and how long each runs.
use tern_config::{Job, Server, Thread};

/// The jobs of one thread in the order of their releases. Times are nanoseconds.
#[derive(Clone, Debug)]
pub(crate) enum Releases<'a> {
    /// One job a period, for ever.
    Periodic {
        next: Option<u64>,
        period: u64,
        work: u64,
    },
    /// Jobs at given times.
    Explicit(std::slice::Iter<'a, Job>),
}

impl<'a> Releases<'a> {
    /// Those of a thread. Each job takes its worst-case time.
    pub(crate) fn of_thread(thread: &'a Thread) -> Self {
        if thread.jobs.is_empty() {
            let (period, work) = (thread.period, thread.wcet);
            Self::Periodic {
                next: Some(thread.offset),
                period,
                work,
            }
        } else {
            Self::Explicit(thread.jobs.iter())
        }
    }

    /// The first of periodic ones.
    pub(crate) fn only_one(self) -> Self {
        match self {
            Self::Periodic { next, work, .. } => Self::Periodic {
                next,
                period: u64::MAX,
                work,
            },
            explicit @ Self::Explicit(_) => explicit,
        }
    }

    /// Those that stand for the threads of a server without any: they use its whole
    /// budget every period.
    pub(crate) fn of_bare_server(server: &Server) -> Self {
        Self::Periodic {
            next: Some(0),
            period: server.period,
            work: server.budget,
        }
    }

    /// How many there are before `until`.
    pub(crate) fn count_before(&self, until: u64) -> u128 {
        match self {
            Self::Periodic { next, period, .. } => {
                let span = next.map_or(0, |next| until.saturating_sub(next));
                u128::from(span.div_ceil((*period).max(1)))
            }
            Self::Explicit(jobs) => jobs.len() as u128,
        }
    }
}

impl Iterator for Releases<'_> {
    type Item = Job;

    fn next(&mut self) -> Option<Job> {
        match self {
            Self::Periodic { next, period, work } => {
                let at = (*next)?;
                *next = at.checked_add(*period).filter(|after| *after > at);
                Some(Job { at, work: *work })
            }
            Self::Explicit(jobs) => jobs.next().copied(),
        }
    }
}
