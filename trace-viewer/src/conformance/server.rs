//! The replay of one server.
use super::budget::Budget;
use super::{ServerConformance, Violation};
use crate::describe::signed_span;
use crate::layout::ServerLayout;

/// Differences between a record's time and the scheduler's: rounding, and the way from
/// reading the clock to writing the record.
const ROUNDING_NS: i64 = 1_000;
/// Charge that may be missing for each time that a server got the core.
const CHARGE_TOLERANCE_NS: i64 = 20_000;
/// And for each hundred of what it ran: an emulator may stop between clock and record.
const CHARGE_TOLERANCE_SHARE: i64 = 100;
/// And once.
const CHARGE_TOLERANCE_BASE_NS: i64 = 1_000_000;

pub(super) struct ServerReplay {
    checked: bool,
    budget: Budget,
    /// Since when no thread of the server wants anything, as far as is known.
    pub(super) idle_since: Option<i64>,
    /// Whether the core went idle since then.
    pub(super) slept: bool,
    replenishments: u64,
    charged: i64,
    runs: i64,
    pub(super) ran: i64,
    overrun: i64,
    violations: Vec<Violation>,
}

impl ServerReplay {
    pub(super) fn new(server: &ServerLayout) -> Self {
        Self {
            checked: server.budget > 0 && server.period > 0,
            budget: Budget::new(server),
            idle_since: None,
            slept: false,
            replenishments: 0,
            charged: 0,
            runs: 0,
            ran: 0,
            overrun: 0,
            violations: Vec::new(),
        }
    }

    fn object(&mut self, at_ns: i64, rule: &'static str, text: String) {
        self.violations.push(Violation { at_ns, rule, text });
    }

    /// The server had nothing to run: what budget was active then will be active anew
    /// when it next has (rule 4).
    pub(super) fn went_idle(&mut self) {
        if let Some(since) = self.idle_since {
            self.slept = true;
            self.not_active_before(since - ROUNDING_NS);
        }
    }

    pub(super) fn not_active_before(&mut self, time: i64) {
        self.budget.not_active_before(time);
    }

    /// It does not sleep: what budget is active now stays so, however late it is used.
    pub(super) fn has_work(&mut self) {
        self.idle_since = None;
        self.slept = false;
    }

    pub(super) fn starts(&mut self, at: i64) {
        self.has_work();
        self.runs += 1;
        let first = self.budget.first();
        if self.checked && first > at + ROUNDING_NS {
            self.object(
                at,
                "without-budget",
                format!(
                    "got the core {} before any of its budget",
                    signed_span(first - at)
                ),
            );
        }
    }

    pub(super) fn posted(&mut self, at: i64, amount: i64, returns: i64) {
        self.replenishments += 1;
        self.charged = self.charged.saturating_add(amount);
        if !self.checked {
            return;
        }
        let posting = self.budget.posted(at, amount, returns);
        self.overrun = self.overrun.max(posting.overrun);
        if let Some((rule, text)) = posting.objection {
            self.object(at, rule, text);
        }
    }

    pub(super) fn finish(mut self, end: i64, sandbox: String, server: String) -> ServerConformance {
        let allowed = CHARGE_TOLERANCE_BASE_NS
            + self.ran / CHARGE_TOLERANCE_SHARE
            + self.runs * CHARGE_TOLERANCE_NS
            + self.budget.unspoken();
        if self.checked && self.ran.saturating_sub(self.charged) > allowed {
            let [ran, charged] = [self.ran, self.charged].map(signed_span);
            let text = format!("ran for {ran}, was charged {charged}");
            self.object(end, "uncharged", text);
        }
        ServerConformance {
            sandbox,
            server,
            checked: self.checked,
            replenishments: self.replenishments,
            charged_ns: self.charged.unsigned_abs(),
            ran_ns: self.ran.unsigned_abs(),
            overrun_ns: self.overrun.unsigned_abs(),
            violations: self.violations,
        }
    }
}
