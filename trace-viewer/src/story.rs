//! The story of a job: from its release to its end, who had the core and for how long,
//! and why the job's own thread had not.
use serde::Serialize;
use tern_trace::Event;

use crate::read::SoundTrace;

/// A job's story. Times are nanoseconds, instants since the epoch.
#[derive(Clone, Debug, Serialize)]
pub struct Story {
    /// Its sandbox.
    pub sandbox: String,
    /// Its thread.
    pub thread: String,
    /// Its number.
    pub job: u32,
    /// Its nominal release; that of the release's record where no period is known.
    pub released_ns: i64,
    /// When the kernel noticed the release.
    pub noticed_ns: Option<i64>,
    /// When it was complete.
    pub completed_ns: Option<i64>,
    /// Its absolute deadline.
    pub deadline_ns: Option<i64>,
    /// The longest that a job of its thread may take, where that was promised.
    pub bound_ns: Option<u64>,
    /// What happened on its core, from the release to the end.
    pub spans: Vec<Span>,
}

/// A stretch of time with one thread on the core.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Its start.
    pub from_ns: i64,
    /// Its end.
    pub to_ns: i64,
    /// Who had the core; `None` if nobody.
    pub thread: Option<String>,
    /// Why the job's thread had not.
    pub why: Why,
}

/// Why a job's thread did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// It did run.
    Running,
    /// Its server had no budget.
    NoBudget,
    /// It was blocked: it waited for something itself.
    Blocked,
    /// It wanted the core, and another had it.
    Preempted,
    /// It wanted the core, which was idle: the kernel had not yet noticed the release.
    Waking,
}

impl Why {
    /// All of them, what the job itself did first.
    pub const ALL: [Self; 5] = [
        Self::Running,
        Self::Preempted,
        Self::NoBudget,
        Self::Blocked,
        Self::Waking,
    ];

    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::NoBudget => "no budget",
            Self::Blocked => "blocked",
            Self::Preempted => "preempted",
            Self::Waking => "waking",
        }
    }
}

impl Story {
    /// The story of a job; `None` if the trace does not know it.
    #[must_use]
    pub fn of(trace: &SoundTrace<'_>, core: usize, thread: u16, job: u32) -> Option<Self> {
        let names = trace.layout().cores.get(core)?;
        let events: Vec<_> = trace.events(core).collect();
        let find = |wanted: Event| events.iter().find(|(_, e)| *e == wanted).map(|&(at, _)| at);
        let noticed = find(Event::Release { thread, job });
        let completed = find(Event::Complete { thread, job });
        let known = names.threads.get(usize::from(thread));
        let nominal = known
            .and_then(|known| Some(known.nominal()?.release(job)))
            .filter(|&nominal| noticed.is_none_or(|noticed| nominal <= noticed));
        let released = nominal
            .filter(|_| noticed.or(completed).is_some())
            .or(noticed)?;
        let end = completed.or_else(|| events.last().map(|&(at, _)| at))?;
        let deadline = known.map(|known| released.saturating_add_unsigned(known.deadline));
        let mut replay = Replay {
            thread,
            server: names.server_of(thread),
            ..Replay::default()
        };
        let mut spans: Vec<Span> = Vec::new();
        for pair in events.windows(2) {
            let [(at, event), (next, _)] = pair else {
                continue;
            };
            replay.event(*event);
            let (from, to) = (released.max(*at), end.min(*next));
            if from < to {
                let is_noticed = noticed.is_none_or(|noticed| noticed <= *at);
                let (who, why) = replay.who_and_why(is_noticed);
                let name = who.map(|who| names.thread_name(who));
                match spans.last_mut() {
                    Some(last) if last.thread == name && last.why == why => last.to_ns = to,
                    _ => spans.push(Span {
                        from_ns: from,
                        to_ns: to,
                        thread: name,
                        why,
                    }),
                }
            }
        }
        Some(Self {
            sandbox: names.sandbox.clone(),
            thread: names.thread_name(thread),
            job,
            released_ns: released,
            noticed_ns: noticed,
            completed_ns: completed,
            deadline_ns: deadline,
            bound_ns: known.and_then(|known| known.bound),
            spans,
        })
    }

    /// How long the job's thread was in a state.
    #[must_use]
    pub fn time(&self, why: Why) -> i64 {
        self.spans
            .iter()
            .filter(|span| span.why == why)
            .map(|s| s.to_ns - s.from_ns)
            .sum()
    }

    /// Who else had the core while the job waited, and for how long, the longest first.
    #[must_use]
    pub fn others(&self) -> Vec<(String, i64)> {
        let mut others: Vec<(String, i64)> = Vec::new();
        for span in self.spans.iter().filter(|span| span.why != Why::Running) {
            let Some(name) = &span.thread else { continue };
            let length = span.to_ns - span.from_ns;
            match others.iter_mut().find(|(other, _)| other == name) {
                Some(other) => other.1 += length,
                None => others.push((name.clone(), length)),
            }
        }
        others.sort_by_key(|(_, length)| core::cmp::Reverse(*length));
        others
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Replay {
    thread: u16,
    server: Option<usize>,
    running: Option<u16>,
    blocked: bool,
    exhausted: bool,
}

impl Replay {
    fn event(&mut self, event: Event) {
        match event {
            Event::Switch { thread } => {
                self.running = thread;
                if thread == Some(self.thread) {
                    self.blocked = false;
                    self.exhausted = false;
                }
            }
            Event::Block { thread, .. } if thread == self.thread => self.blocked = true,
            Event::Release { thread, .. } | Event::Wake { thread, .. } if thread == self.thread => {
                self.blocked = false;
            }
            Event::Exhaust { server, .. } if Some(usize::from(server)) == self.server => {
                self.exhausted = true;
            }
            Event::ReplenishApplied { server, .. } if Some(usize::from(server)) == self.server => {
                self.exhausted = false;
            }
            _ => {}
        }
    }

    /// Who has the core, and why the job's thread has not. A release that could not take the
    /// core from another is noticed late, and until then the thread's last record is that it
    /// has blocked.
    fn who_and_why(&self, is_noticed: bool) -> (Option<u16>, Why) {
        let why = match self.running {
            Some(running) if running == self.thread => Why::Running,
            _ if self.blocked && is_noticed => Why::Blocked,
            _ if self.exhausted => Why::NoBudget,
            None if self.blocked || !is_noticed => Why::Waking,
            _ => Why::Preempted,
        };
        (self.running, why)
    }
}
