//! What the verdict says of the faults: each one, how it was found and what mended it.
use super::Verdict;
use crate::fault::inject::Injected;
use crate::run::consequences::Hit;
use crate::run::evidence::{Detection, Evidence, Repair, Sign};
use tern_units::Duration;

impl Verdict {
    pub(super) fn fault(&mut self, evidence: &Evidence<'_>) {
        if evidence.injected.is_empty() {
            self.tell("fault injected", "none");
        }
        for (epoch, injected) in evidence.injected {
            let sandbox = &evidence.system.sandboxes[injected.place.sandbox as usize];
            let seen = format!("{}: {}", sandbox.name, injected.what);
            self.tell("fault injected", seen);
            let nanos = evidence.trace.nanos(injected.tsc);
            self.tell(
                "",
                format!("after the vote of epoch {epoch}, {}", seconds(nanos)),
            );
            if injected.held.is_some() {
                self.held(evidence, injected);
            }
        }
    }

    /// Tells when the job was complete whose release the hold of a core delayed.
    fn held(&mut self, evidence: &Evidence<'_>, injected: &Injected) {
        let deadline = evidence.system.thread(&injected.place);
        let deadline = Duration::from_nanos(deadline.map_or(0, |thread| thread.deadline));
        let seen = match evidence.held_response(injected) {
            None => "that job was never complete".into(),
            Some(response) => {
                let late = if response > deadline {
                    "late"
                } else {
                    "in time"
                };
                format!("that job was complete after {response}, {late}: due after {deadline}")
            }
        };
        self.tell("", seen);
    }

    pub(super) fn recovery(&mut self, evidence: &Evidence<'_>) {
        if let Some(epoch) = evidence.stopped() {
            self.require("safe stop", false, format!("no majority in epoch {epoch}"));
        }
        let accusations = evidence.false_accusations();
        self.require(
            "false accusations",
            accusations == 0,
            accusations.to_string(),
        );

        let hits = evidence.hit_replicas();
        let mut detected = None;
        for (replica, hit) in &hits {
            match evidence.detection(*replica, hit.epoch) {
                Some(detection) => {
                    self.detected(evidence, *replica, hit, &detection);
                    detected = detected.max(Some(detection.epoch));
                }
                None => self.masked(evidence, *replica, hit),
            }
        }

        let since = evidence.unanimous_since();
        match detected {
            Some(epoch) => {
                let again = since.is_some_and(|since| since > epoch);
                self.require("summaries equal again", again, unanimous(since));
            }
            None => {
                let mut others = evidence.not_unanimous();
                let is_told = |epoch| evidence.may_withhold(epoch) || evidence.was_forged(epoch);
                let holds = since.is_some() && others.all(is_told);
                self.require("votes", holds, unanimous(since));
            }
        }
    }

    fn detected(
        &mut self,
        evidence: &Evidence<'_>,
        replica: usize,
        hit: &Hit<'_>,
        detection: &Detection,
    ) {
        let fault = evidence.trace.nanos(hit.fault.tsc);
        let delay = evidence
            .vote_time(detection.epoch)
            .map(|vote| between(fault, vote));
        let how = match detection.sign {
            Sign::Difference => "summary differs",
            Sign::Timeout => "no ballot in time",
            Sign::Request => "its program had stopped",
        };
        let name = several(evidence, replica);
        let after = delay.map_or("?".into(), |delay| delay.to_string());
        let epoch = detection.epoch;
        let seen = format!("{name}epoch {epoch}, {after} after the fault: {how}");
        self.require("detected", true, seen);
        if evidence.set().voting.keeps_checkpoints() {
            self.rolled_back(evidence, replica);
            return;
        }
        let voters: Vec<&str> = (0..evidence.set().replicas.len())
            .filter(|replica| detection.majority >> replica & 1 == 1)
            .map(|replica| evidence.replica_name(replica))
            .collect();
        self.require("voted out by", voters.len() >= 2, voters.join(" and "));
        self.repair(&evidence.repair(replica));
    }

    /// Two in lock-step go back to what they agreed on last; where a page is not to be had so, the
    /// other gives it.
    fn rolled_back(&mut self, evidence: &Evidence<'_>, replica: usize) {
        let (times, pages) = evidence.rolled_back();
        let seen = format!("{times} times, {pages} pages put back");
        self.require("rolled back", times > 0, seen);
        let repair = evidence.repair(replica);
        if repair.rounds > 0 {
            self.repair(&repair);
        }
    }

    fn repair(&mut self, repair: &Repair) {
        let rounds = match repair.rounds {
            1 => "in one round".to_string(),
            rounds => format!("in {rounds} rounds"),
        };
        self.tell(
            "pages that differed",
            format!("{} {rounds}", repair.differed),
        );
        let same = repair.copied == repair.differed && repair.pages == repair.copied;
        self.require(
            "pages copied",
            same && repair.done,
            repair.copied.to_string(),
        );
        let time = repair.span.map(|(start, end)| between(start, end));
        let rejoined = match repair.rejoined {
            Some(epoch) => format!(", in the set again from epoch {epoch}"),
            None => ", not in the set again".into(),
        };
        let time = time.map_or("none".into(), |time| time.to_string());
        self.require("repair time", repair.rejoined.is_some(), time + &rejoined);
    }

    /// Judges a fault in `replica` that no vote found: right only if it left no trace there.
    fn masked(&mut self, evidence: &Evidence<'_>, replica: usize, hit: &Hit<'_>) {
        let name = several(evidence, replica);
        let (holds, seen) = match &evidence.differing_at_end {
            Some(pages) if pages.is_empty() => (
                true,
                match hit.fault.held {
                    Some(_) => "masked: its ballots came in time; all replicas' pages are equal",
                    None => "masked: overwritten before it was used; all replicas' pages are equal",
                }
                .into(),
            ),
            Some(pages) => (
                false,
                format!("latent: {} pages differ, and no vote said so", pages.len()),
            ),
            None => (
                false,
                "not detected, and the replicas could not be compared".into(),
            ),
        };
        self.require("detected", holds, format!("{name}{seen}"));
    }
}

/// Returns the name of `replica`, to stand before what is said of it, where several were hit.
fn several(evidence: &Evidence<'_>, replica: usize) -> String {
    match evidence.hit_replicas().len() {
        1 => String::new(),
        _ => format!("{}: ", evidence.replica_name(replica)),
    }
}

fn unanimous(since: Option<u64>) -> String {
    match since {
        Some(epoch) => format!("unanimous from epoch {epoch} to the end"),
        None => "not unanimous at the end".into(),
    }
}

/// From `start` to `end`, in nanoseconds after the time epoch.
fn between(start: i64, end: i64) -> Duration {
    Duration::from_nanos(end.saturating_sub(start).max(0).unsigned_abs())
}

fn seconds(nanos: i64) -> String {
    format!("{:.3} s after the time epoch", nanos as f64 / 1e9)
}
