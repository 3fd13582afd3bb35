//! The level of a server's budget over time, from its runs and replenishments.
//!
//! Between charges the level falls as the server runs; at each charge it is set to what
//! the scheduler charged, so differences between clocks do not add up.
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tern_config::ServerKind;

use crate::layout::ServerLayout;

pub(super) struct BudgetLog {
    /// The level if what ran since the last charge had not.
    level: i64,
    /// Since when the server runs without having been charged.
    since: Option<i64>,
    /// Time and amount of what will come back.
    returning: BinaryHeap<Reverse<(i64, u64)>>,
    /// The budget of an I/O server, which has all of it or none.
    whole: Option<u64>,
    /// Time, level; time, level; …
    points: Vec<f64>,
    pub(super) exhausted: Vec<f64>,
}

impl BudgetLog {
    pub(super) fn new(server: &ServerLayout) -> Self {
        Self {
            level: server.budget.cast_signed(),
            since: None,
            returning: BinaryHeap::new(),
            whole: (server.kind == ServerKind::Io).then_some(server.budget),
            points: Vec::new(),
            exhausted: Vec::new(),
        }
    }

    /// It is known from the epoch on, when all of the budget is there.
    pub(super) fn begin(&mut self) {
        self.point(0);
    }

    pub(super) fn runs(&mut self, at: i64, runs: bool) {
        if runs != self.since.is_some() {
            self.advance(at);
            self.point(at);
            self.since = runs.then_some(at);
        }
    }

    pub(super) fn posted(&mut self, at: i64, amount: u64, returns: i64) {
        self.advance(at);
        let back = match self.whole {
            // It gives up what is left, and has its next from then on.
            Some(whole) => {
                self.level = 0;
                self.returning.clear();
                whole
            }
            None => {
                self.level = self.level.saturating_sub(amount.cast_signed());
                amount
            }
        };
        self.since = self.since.map(|_| at);
        self.point(at);
        self.returning.push(Reverse((returns, back)));
    }

    /// Applies what came back until `at`.
    fn advance(&mut self, at: i64) {
        while let Some(&Reverse((time, amount))) = self.returning.peek()
            && time <= at
        {
            self.returning.pop();
            self.point(time);
            self.level = self.level.saturating_add(amount.cast_signed());
            self.point(time);
        }
    }

    fn point(&mut self, at: i64) {
        let ran = self.since.map_or(0, |since| (at - since).max(0));
        self.points
            .extend([at as f64, self.level.saturating_sub(ran).max(0) as f64]);
    }

    pub(super) fn finish(mut self, end: i64) -> (Vec<f64>, Vec<f64>) {
        self.advance(end);
        self.point(end);
        (self.points, self.exhausted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_io_server_gives_up_what_is_left_until_its_next_budget() {
        let server = ServerLayout {
            name: String::new(),
            kind: ServerKind::Io,
            budget: 5,
            period: 10,
            priority: 0,
            highest: 0,
            room: 1,
            threads: 0..0,
        };
        let mut log = BudgetLog::new(&server);
        log.runs(2, true);
        log.posted(3, 1, 4);
        log.runs(3, false);
        let (points, _) = log.finish(6);
        let pairs: Vec<_> = points.chunks(2).map(|pair| (pair[0], pair[1])).collect();
        assert_eq!(
            pairs,
            [
                (2.0, 5.0),
                (3.0, 0.0),
                (3.0, 0.0),
                (4.0, 0.0),
                (4.0, 5.0),
                (6.0, 5.0)
            ]
        );
    }

    #[test]
    fn the_level_falls_while_running_and_rises_when_budget_returns() {
        let server = ServerLayout {
            name: String::new(),
            kind: ServerKind::Sporadic,
            budget: 5,
            period: 10,
            priority: 0,
            highest: 0,
            room: 1,
            threads: 0..0,
        };
        let mut log = BudgetLog::new(&server);
        log.runs(2, true);
        log.posted(5, 3, 12);
        log.runs(5, false);
        log.runs(11, true);
        // Still running when the 3 come back; charged 2 at 13.
        log.posted(13, 2, 21);
        log.runs(13, false);
        let (points, _) = log.finish(20);
        let pairs: Vec<_> = points.chunks(2).map(|pair| (pair[0], pair[1])).collect();
        assert_eq!(
            pairs,
            [
                (2.0, 5.0),
                (5.0, 2.0),
                (5.0, 2.0),
                (11.0, 2.0),
                (12.0, 1.0),
                (12.0, 4.0),
                (13.0, 3.0),
                (13.0, 3.0),
                (20.0, 3.0)
            ]
        );
    }
}
