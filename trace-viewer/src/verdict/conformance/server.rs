//! The replay of one server: its budget, and what it did against the rules.
use tern_config::ServerKind;

use super::io::Io;
use super::lateness::Lateness;
use super::objection::{Objection, Rule};
use super::sporadic::Sporadic;
use super::{ServerConformance, Violation};
use crate::layout::ServerLayout;
use crate::table::signed_span;

/// The budget of either kind of server.
#[derive(Clone, Debug)]
enum Budget {
    Sporadic(Sporadic),
    Io(Io),
}

/// One server while its records are read. Times are nanoseconds.
#[derive(Clone, Debug)]
pub(super) struct ServerReplay {
    /// `None` where the description gives it no budget or no period: then it is not judged.
    budget: Option<Budget>,
    /// Whether it has work, and since when.
    active: Option<i64>,
    /// When it was said to be exhausted, until it gets budget again.
    exhausted: Option<i64>,
    /// When it last had the core.
    left_core: i64,
    /// Whether it was said to get budget since.
    has_got: bool,
    /// When its running was last held against its budget.
    measured: Option<i64>,
    replenishments: u64,
    charged: i64,
    ran: i64,
    overruns: u64,
    longest_overrun: i64,
    overran: i64,
    violations: Vec<Violation>,
}

impl ServerReplay {
    pub(super) fn new(server: &ServerLayout) -> Self {
        let (budget, period) = (server.budget.cast_signed(), server.period.cast_signed());
        let known = budget > 0 && period > 0;
        let budget = known.then(|| match server.kind {
            ServerKind::Sporadic => Budget::Sporadic(Sporadic::new(budget, period, server.room)),
            ServerKind::Io => Budget::Io(Io::new(budget, period)),
        });
        Self {
            budget,
            active: None,
            exhausted: None,
            left_core: 0,
            has_got: false,
            measured: None,
            replenishments: 0,
            charged: 0,
            ran: 0,
            overruns: 0,
            longest_overrun: 0,
            overran: 0,
            violations: Vec::new(),
        }
    }

    fn object(&mut self, at_ns: i64, rule: Rule, text: String) {
        self.violations.push(Violation { at_ns, rule, text });
    }

    pub(super) const fn is_active(&self) -> bool {
        self.active.is_some()
    }

    /// It has work from `at` on, after a while without.
    pub(super) fn wakes(&mut self, at: i64) {
        self.active = Some(at);
        match &mut self.budget {
            Some(Budget::Sporadic(budget)) => budget.unblock(at),
            Some(Budget::Io(budget)) => budget.unblock(at),
            None => {}
        }
    }

    /// A thread of it is woken at `at`, by which it may have budget again without a record.
    pub(super) fn noticed(&mut self, at: i64) {
        if self.eligible() <= at {
            self.exhausted = None;
        }
    }

    /// From when on it may use what is left of its budget.
    pub(super) fn eligible(&self) -> i64 {
        match &self.budget {
            Some(Budget::Sporadic(budget)) => budget.eligible(),
            Some(Budget::Io(budget)) => budget.eligible(),
            None => i64::MIN,
        }
    }

    /// What is left of what it may use at one go.
    pub(super) fn left(&self) -> i64 {
        match &self.budget {
            Some(Budget::Sporadic(budget)) => budget.left(),
            Some(Budget::Io(budget)) => budget.left(),
            None => i64::MAX,
        }
    }

    /// It gets the core.
    pub(super) fn starts(&mut self, at: i64) {
        self.has_got = false;
        if self.eligible() > at {
            let early = signed_span(self.eligible() - at);
            let text = format!("got the core {early} before any of its budget");
            self.object(at, Rule::WithoutBudget, text);
        }
        // A request may find the budget of an I/O server back before the timer does.
        if let Some(since) = self.exhausted.take()
            && !matches!(self.budget, Some(Budget::Io(_)))
        {
            let since = signed_span(at - since);
            let text = format!("got the core {since} after it was exhausted, and no budget");
            self.object(at, Rule::Applied, text);
        }
    }

    /// It had the core for `time`, until `at`.
    pub(super) fn runs(&mut self, at: i64, time: i64) {
        self.ran = self.ran.saturating_add(time);
        self.left_core = at;
        match &mut self.budget {
            Some(Budget::Sporadic(budget)) => budget.run(time),
            Some(Budget::Io(budget)) => budget.run(time),
            None => {}
        }
        if time > 0
            && let Some(since) = self.exhausted
        {
            let since = signed_span(at - since);
            let text = format!("ran on for {since} after it was exhausted");
            self.object(at, Rule::WithoutBudget, text);
        }
    }

    /// The scheduler decides at `at`, or the trace ends: what it ran beyond its budget by then
    /// is the timer's lateness.
    pub(super) fn measure(&mut self, at: i64, late: &Lateness) {
        if self.measured.replace(at) == Some(at) {
            return;
        }
        let beyond = match &self.budget {
            Some(Budget::Sporadic(budget)) => budget.ran_beyond(at),
            Some(Budget::Io(budget)) => budget.ran_beyond(at),
            None => 0,
        };
        if beyond <= 0 {
            return;
        }
        self.overruns += 1;
        self.overran = self.overran.saturating_add(beyond);
        self.longest_overrun = self.longest_overrun.max(beyond);
        if let Some(late) = late.allowed(at, beyond).filter(|late| beyond > *late) {
            let [beyond, late] = [beyond, late].map(signed_span);
            let text = format!("ran on for {beyond} without budget, and a timer is late by {late}");
            self.object(at, Rule::Overrun, text);
        }
    }

    /// It is charged, and `wants` the core still or not; `exhausted` is what the record says of
    /// it, and `decided` whether it is one of the scheduler's decisions.
    pub(super) fn posted(
        &mut self,
        at: i64,
        (amount, returns): (i64, i64),
        wants: bool,
        exhausted: bool,
        decided: bool,
    ) {
        self.replenishments += 1;
        self.charged = self.charged.saturating_add(amount);
        let posted = match &mut self.budget {
            Some(Budget::Sporadic(budget)) => budget.post(amount, returns),
            Some(Budget::Io(budget)) => budget.post(amount, returns),
            None => return,
        };
        if let Err(Objection { rule, text }) = posted {
            self.object(at, rule, text);
        }
        if exhausted {
            self.is_exhausted(at, wants);
        } else if decided && wants && self.left() > 0 && self.eligible() > at {
            let text = "has work and no budget, and is not said to be exhausted".to_string();
            self.object(at, Rule::Exhaustion, text);
        }
    }

    fn is_exhausted(&mut self, at: i64, wants: bool) {
        self.exhausted = Some(at);
        self.has_got = false;
        let reason = match (wants, self.eligible() <= at) {
            (false, _) => "it has nothing to run",
            (true, true) => "it has budget",
            (true, false) => return,
        };
        let text = format!("is said to be exhausted, and {reason}");
        self.object(at, Rule::Exhaustion, text);
    }

    /// It is said to have got `amount` of budget that it waited for.
    pub(super) fn applied(&mut self, at: i64, amount: i64) {
        let waited = self.exhausted.take().is_some();
        let again = std::mem::replace(&mut self.has_got, true);
        let (eligible, left) = (self.eligible(), self.left());
        let idle_since = self.active.unwrap_or(at).max(self.left_core);
        let wrong = match &self.budget {
            None => None,
            Some(_) if again => Some("gets budget a second time".to_string()),
            Some(_) if eligible > at => Some(format!(
                "gets budget {} before it returns",
                signed_span(eligible - at)
            )),
            Some(Budget::Sporadic(_)) if left != amount => {
                let [amount, left] = [amount, left].map(signed_span);
                Some(format!("gets {amount} of budget, and {left} return"))
            }
            // How much an I/O server may use at one go depends on its requesters.
            Some(Budget::Io(_)) if left < amount => {
                let [amount, left] = [amount, left].map(signed_span);
                Some(format!("gets {amount} of budget, and {left} are its own"))
            }
            Some(Budget::Sporadic(_)) if !waited && eligible <= idle_since => {
                Some("gets budget, and had it all the time".to_string())
            }
            Some(_) => None,
        };
        if let Some(text) = wrong {
            self.object(at, Rule::Applied, text);
        }
    }

    /// The scheduler turns from it at `at`; it `wants` the core still or not. By now all is
    /// charged that has to be.
    pub(super) fn stops(&mut self, at: i64, wants: bool) {
        self.settle(at, wants);
        if !wants {
            self.active = None;
        }
    }

    /// What has to be charged at a decision by now, and is not.
    pub(super) fn settle(&mut self, at: i64, wants: bool) {
        let unpaid = match &mut self.budget {
            Some(Budget::Sporadic(budget)) => budget.settle(wants),
            Some(Budget::Io(budget)) => budget.settle(wants),
            None => 0,
        };
        if unpaid > 0 {
            let text = format!("ran for {} that are not charged", signed_span(unpaid));
            self.object(at, Rule::Uncharged, text);
        }
    }

    /// Another server, or nobody, gets the core at `at`, though this one might.
    pub(super) fn passed_over(&mut self, at: i64, by: &str) {
        let may_run = self.is_active() && self.eligible() <= at && self.left() > 0;
        if may_run && self.budget.is_some() {
            let text = format!("has work and budget, and the core turns to {by}");
            self.object(at, Rule::PassedOver, text);
        }
    }

    pub(super) fn finish(self, sandbox: String, server: String) -> ServerConformance {
        let delayed = match &self.budget {
            Some(Budget::Sporadic(budget)) => budget.delayed(),
            Some(Budget::Io(_)) | None => 0,
        };
        ServerConformance {
            sandbox,
            server,
            checked: self.budget.is_some(),
            replenishments: self.replenishments,
            charged_ns: self.charged.unsigned_abs(),
            ran_ns: self.ran.unsigned_abs(),
            overruns: self.overruns,
            overrun_ns: self.longest_overrun.unsigned_abs(),
            overran_ns: self.overran.unsigned_abs(),
            delayed,
            violations: self.violations,
        }
    }
}
