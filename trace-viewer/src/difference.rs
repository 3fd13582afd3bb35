//! Two runs compared, for regressions: threads by sandbox and name, their responses and
//! misses; servers' busy time; exits; repairs.
use serde::Serialize;

use crate::summary::{Summary, ThreadSummary};
use crate::table::signed_span;
use crate::table::span;

/// How much worse is worse.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// A response may be longer by this share, in per cent,
    pub per_cent: u32,
    /// and by this time, in nanoseconds, before it counts.
    pub nanos: i64,
}

/// What differs between a run before and a run after.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// The threads that both runs have.
    pub threads: Vec<ThreadDifference>,
    /// What got worse, or cannot be compared. Empty is good.
    pub regressions: Vec<String>,
}

/// One thread in both runs. Times are nanoseconds, before and after.
#[derive(Clone, Debug, Serialize)]
pub struct ThreadDifference {
    /// Its sandbox.
    pub sandbox: String,
    /// Its name.
    pub thread: String,
    /// Median of its responses.
    pub median_ns: [Option<i64>; 2],
    /// Maximum of its responses.
    pub max_ns: [Option<i64>; 2],
    /// Deadlines missed.
    pub misses: [u64; 2],
}

impl Difference {
    /// Compares two sound summaries.
    #[must_use]
    pub fn between(before: &Summary, after: &Summary, tolerance: Tolerance) -> Self {
        let mut found = Self {
            threads: Vec::new(),
            regressions: Vec::new(),
        };
        for (sandbox, old) in before.threads() {
            let place = format!("{} {}", sandbox.sandbox, old.thread);
            let new = after
                .threads()
                .find(|(other, new)| other.sandbox == sandbox.sandbox && new.thread == old.thread);
            match new {
                Some((_, new)) => found.thread(&sandbox.sandbox, &place, old, new, tolerance),
                None => found
                    .regressions
                    .push(format!("{place}: not in the second run")),
            }
        }
        if let (Some(old), Some(new)) = (before.steady_exits(), after.steady_exits())
            && old == 0
            && new > 0
        {
            found
                .regressions
                .push(format!("{new} exits between the first and the last epoch"));
        }
        for (old, new) in before.repairs.iter().zip(&after.repairs) {
            let times = old.duration_ns.zip(new.duration_ns);
            if let Some((old, new)) = times
                && tolerance.exceeded(old.cast_signed(), new.cast_signed())
            {
                found
                    .regressions
                    .push(format!("repair took {}, before {}", span(new), span(old)));
            }
            if old.result == "done" && new.result != "done" {
                found.regressions.push(format!("repair {}", new.result));
            }
        }
        found
    }

    fn thread(
        &mut self,
        sandbox: &str,
        place: &str,
        old: &ThreadSummary,
        new: &ThreadSummary,
        tolerance: Tolerance,
    ) {
        if new.misses > old.misses {
            self.regressions.push(format!(
                "{place}: {} misses, before {}",
                new.misses, old.misses
            ));
        }
        if old.completed > 0 && new.completed == 0 {
            self.regressions.push(format!("{place}: no job complete"));
        }
        if let (Some(old), Some(new)) = (old.response, new.response) {
            for (what, old, new) in [
                ("median", old.median_ns, new.median_ns),
                ("maximum", old.max_ns, new.max_ns),
            ] {
                if tolerance.exceeded(old, new) {
                    let [new, old] = [new, old].map(signed_span);
                    let text = format!("{place}: {what} response {new}, before {old}");
                    self.regressions.push(text);
                }
            }
        }
        self.threads.push(ThreadDifference {
            sandbox: sandbox.to_string(),
            thread: old.thread.clone(),
            median_ns: [old, new].map(|thread| thread.response.map(|times| times.median_ns)),
            max_ns: [old, new].map(|thread| thread.response.map(|times| times.max_ns)),
            misses: [old.misses, new.misses],
        });
    }
}

impl Tolerance {
    /// Whether `new` is worse than `old` by more than both tolerances.
    fn exceeded(self, old: i64, new: i64) -> bool {
        let longer = i128::from(new) - i128::from(old);
        longer > i128::from(self.nanos)
            && longer * 100 > i128::from(old) * i128::from(self.per_cent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worse_is_what_exceeds_both_tolerances() {
        let tolerance = Tolerance {
            per_cent: 10,
            nanos: 50,
        };
        for (old, new, exceeded) in [
            (1_000, 1_100, false),
            (1_000, 1_101, true),
            (100, 149, false),
            (100, 150, false),
            (100, 151, true),
            (1_000, 10, false),
            (0, 51, true),
            (i64::MIN, i64::MAX, true),
        ] {
            assert_eq!(tolerance.exceeded(old, new), exceeded, "{old} to {new}");
        }
    }
}
