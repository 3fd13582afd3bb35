//! The live view: redrawn in a terminal, plain lines elsewhere.
use crate::plant::{Exchange, Motion};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};
use tern_plant::frames::{Outcome, Status};

/// Time between two pictures in a terminal.
const REDRAW: Duration = Duration::from_millis(100);
/// Epochs between two lines elsewhere.
const LINE_EPOCHS: u64 = 10;
/// Characters of a bar.
const BAR: usize = 24;

/// The view of one run.
#[derive(Debug)]
pub struct View {
    terminal: bool,
    epochs: u64,
    replicas: Vec<String>,
    fault: String,
    last_faulty: u8,
    last_outcome: Outcome,
    drawn: usize,
    at: Option<Instant>,
}

impl View {
    /// A view of a run of `epochs` epochs with replicas of these names.
    #[must_use]
    pub fn new(epochs: u64, replicas: Vec<String>) -> Self {
        Self {
            terminal: std::io::stdout().is_terminal(),
            epochs,
            replicas,
            fault: "none yet".into(),
            last_faulty: 0,
            last_outcome: Outcome::Unanimous,
            drawn: 0,
            at: None,
        }
    }

    /// Says something that stays.
    pub fn say(&mut self, line: &str) {
        self.erase();
        println!("{line}");
    }

    /// Shows that a fault was injected.
    pub fn fault(&mut self, line: &str) {
        self.fault = line.to_string();
        self.say(&format!("fault injected: {line}"));
    }

    /// Shows an exchange.
    pub fn show(&mut self, exchange: &Exchange) {
        let status = &exchange.command.status;
        let epoch = exchange.command.epoch;
        if status.outcome != self.last_outcome || status.faulty != self.last_faulty {
            self.last_outcome = status.outcome;
            self.last_faulty = status.faulty;
            let vote = self.vote(status);
            self.say(&format!("epoch {epoch}: {vote}"));
        }
        if !self.terminal {
            if epoch.is_multiple_of(LINE_EPOCHS) {
                let told = exchange.motion.as_ref().map(|it| motion(it) + "; ");
                println!(
                    "epoch {epoch}: {}{}",
                    told.unwrap_or_default(),
                    self.vote(status)
                );
            }
            return;
        }
        let due = self.at.is_none_or(|at| at.elapsed() >= REDRAW);
        if !due && epoch + 1 < self.epochs {
            return;
        }
        self.at = Some(Instant::now());
        let lines = [
            format!(
                "  epoch   {} of {}",
                bar(epoch + 1, self.epochs),
                self.epochs
            ),
            match &exchange.motion {
                Some(it) => format!("  plant   {}  {}", scale(it.angle), motion(it)),
                None => "  plant   in its sandbox".into(),
            },
            format!(
                "  vote    {}; stale inputs {}",
                self.vote(status),
                status.stale
            ),
            format!("  fault   {}", self.fault),
            format!("  repair  {}", self.repair(status)),
        ];
        self.erase();
        for line in &lines {
            println!("{line}");
        }
        self.drawn = lines.len();
        // A terminal that is gone shows nothing; the run goes on.
        let _ = std::io::stdout().flush();
    }

    /// Takes the picture away.
    pub fn erase(&mut self) {
        if self.drawn > 0 {
            // Cursor up by the lines drawn, then clear to the end of the screen.
            print!("\x1b[{}A\x1b[J", self.drawn);
            self.drawn = 0;
        }
    }

    fn name(&self, replica: usize) -> &str {
        self.replicas.get(replica).map_or("?", String::as_str)
    }

    fn names(&self, mask: u8) -> String {
        let members = (0..self.replicas.len()).filter(|replica| mask >> replica & 1 == 1);
        members
            .map(|replica| self.name(replica))
            .collect::<Vec<_>>()
            .join(" and ")
    }

    fn vote(&self, status: &Status) -> String {
        let faulty = self.names(status.faulty);
        match status.outcome {
            Outcome::Unanimous => "vote unanimous".into(),
            Outcome::Majority if status.faulty == 0 => "vote by majority".into(),
            Outcome::Majority if status.timeout & status.faulty != 0 => {
                format!(
                    "{faulty} silent, voted out by {}",
                    self.names(!status.faulty)
                )
            }
            Outcome::Majority if status.recovering & status.faulty != 0 => {
                format!("{faulty} recovering")
            }
            Outcome::Majority => {
                format!(
                    "{faulty} differs, voted out by {}",
                    self.names(!status.faulty)
                )
            }
            Outcome::Held if status.faulty == 0 => "no output, all hold the same state".into(),
            Outcome::Held => {
                format!(
                    "no output, {} hold the same state",
                    self.names(!status.faulty)
                )
            }
            Outcome::Lost => "no majority: no output".into(),
            Outcome::Stopped => "no majority: stopped safely".into(),
            Outcome::Unprotected => "no vote: one copy".into(),
        }
    }

    fn repair(&self, status: &Status) -> String {
        let Some(target) = status.target else {
            return "idle".into();
        };
        let name =
            |replica: Option<u8>| replica.map_or("nobody", |replica| self.name(replica.into()));
        let all = status.repaired + status.differing;
        format!(
            "{} {} of {all} pages, {} to {}, confirmed by {}",
            bar(status.repaired.into(), all.into()),
            status.repaired,
            name(status.donor),
            self.name(target.into()),
            name(status.witness)
        )
    }
}

fn motion(motion: &Motion) -> String {
    let state = if motion.fallen { ", fallen" } else { "" };
    let degrees = motion.angle.to_degrees();
    format!(
        "angle {degrees:+6.2}°, cart {:+5.2} m{state}",
        motion.position
    )
}

/// A bar that is filled by `done` of `all`.
fn bar(done: u64, all: u64) -> String {
    let filled = (BAR as u64 * done.min(all)).checked_div(all).unwrap_or(0) as usize;
    format!("[{}{}]", "#".repeat(filled), "-".repeat(BAR - filled))
}

/// The angle on a scale from -10 to 10 degrees.
fn scale(angle: f64) -> String {
    let place = ((angle.to_degrees() / 10.0).clamp(-1.0, 1.0) * BAR as f64 / 2.0).round();
    let place = (place + BAR as f64 / 2.0) as usize;
    let mark = |at| {
        if at == place {
            'o'
        } else if at == BAR / 2 {
            '|'
        } else {
            '.'
        }
    };
    (0..=BAR).map(mark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_empty_at_nothing_full_at_all_and_never_longer() {
        assert_eq!(bar(0, 0), format!("[{}]", "-".repeat(BAR)));
        assert_eq!(bar(5, 5), format!("[{}]", "#".repeat(BAR)));
        assert_eq!(bar(9, 5), bar(5, 5));
        assert_eq!(bar(1, 2).matches('#').count(), BAR / 2);
    }

    #[test]
    fn the_scale_has_its_mark_at_every_angle() {
        for angle in [-9.0, -0.1, 0.0, 0.05, 0.5, f64::NAN] {
            assert_eq!(scale(angle).matches('o').count(), 1, "{angle}");
        }
    }

    #[test]
    fn votes_are_told_in_the_names_of_the_replicas() {
        let view = View::new(10, ["alpha", "beta", "gamma"].map(str::to_string).to_vec());
        let status = Status {
            outcome: Outcome::Majority,
            faulty: 2,
            ..Status::default()
        };
        assert_eq!(
            view.vote(&status),
            "beta differs, voted out by alpha and gamma"
        );
        let held = Status {
            outcome: Outcome::Held,
            ..status
        };
        assert_eq!(
            view.vote(&held),
            "no output, alpha and gamma hold the same state"
        );
        let silent = Status {
            timeout: 2,
            ..status
        };
        assert_eq!(
            view.vote(&silent),
            "beta silent, voted out by alpha and gamma"
        );
    }
}
