//! An independent model of the sporadic server: C single units of budget, each with the
//! tick from which it may be used.
//!
//! Where the crate keeps a list of chunks, this keeps every unit on its own. A chunk of n
//! units from time t on is n tokens at t, t + 1, …, t + n − 1: no unit of it can be used
//! before those ahead of it. Slow, and hard to get wrong.

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tokens {
    pub period: u64,
    /// At most this many groups of consecutive ticks.
    pub groups: usize,
    /// The tick from which each token may be used, increasing.
    pub ticks: Vec<u64>,
}

impl Tokens {
    pub fn new(budget: u64, period: u64, groups: usize) -> Self {
        Self {
            period,
            groups,
            ticks: (0..budget).collect(),
        }
    }

    pub fn may_run(&self, now: u64) -> bool {
        self.ticks[0] <= now
    }

    /// Units that may be used one after the other from the first on.
    pub fn first_group(&self) -> u64 {
        group_length(&self.ticks) as u64
    }

    /// It becomes runnable: no token is older than now, no two share a tick.
    pub fn unblock(&mut self, now: u64) {
        let mut earliest = now;
        for tick in &mut self.ticks {
            *tick = (*tick).max(earliest);
            earliest = *tick + 1;
        }
    }

    /// Uses the first `used` tokens; each returns a period after its own tick.
    pub fn charge(&mut self, mut used: u64) {
        while used > 0 {
            let taken = self.first_group().min(used) as usize;
            used -= taken as u64;
            let spent: Vec<u64> = self.ticks.drain(..taken).collect();
            let before = self.ticks.len();
            self.ticks
                .extend(spent.iter().map(|tick| tick + self.period));
            // One group too many: the one before the new one is delayed to it.
            if before > 0 && self.groups() > self.groups {
                let start = self.last_group_before(before);
                let ticks = self.ticks[before]..;
                for (tick, token) in ticks.zip(&mut self.ticks[start..]) {
                    *token = tick;
                }
            }
            // A delayed group may reach into what comes after it.
            for position in 1..self.ticks.len() {
                self.ticks[position] = self.ticks[position].max(self.ticks[position - 1] + 1);
            }
        }
    }

    /// As chunks: (time, amount).
    pub fn chunks(&self) -> Vec<(u64, u64)> {
        let mut chunks = Vec::new();
        let mut rest = &self.ticks[..];
        while !rest.is_empty() {
            let length = group_length(rest);
            chunks.push((rest[0], length as u64));
            rest = &rest[length..];
        }
        chunks
    }

    fn groups(&self) -> usize {
        self.chunks().len()
    }

    fn last_group_before(&self, end: usize) -> usize {
        let mut start = end - 1;
        while start > 0 && self.ticks[start - 1] + 1 == self.ticks[start] {
            start -= 1;
        }
        start
    }
}

fn group_length(ticks: &[u64]) -> usize {
    ticks
        .windows(2)
        .take_while(|pair| pair[0] + 1 == pair[1])
        .count()
        + 1
}
