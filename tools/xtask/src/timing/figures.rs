//! What was measured of one operation, in ticks, and how it compares with what was
//! measured before.
use std::fmt;

/// Minimum, median and maximum of many times, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// The least.
    pub minimum: u64,
    /// The middle one.
    pub median: u64,
    /// The greatest.
    pub maximum: u64,
}

impl Figures {
    /// Of `ticks`; `None` if there are none.
    #[must_use]
    pub fn of(mut ticks: Vec<u64>) -> Option<Self> {
        ticks.sort_unstable();
        Some(Self {
            minimum: *ticks.first()?,
            median: ticks[ticks.len() / 2],
            maximum: *ticks.last()?,
        })
    }

    const fn all(&self) -> [u64; 3] {
        [self.minimum, self.median, self.maximum]
    }

    /// The greatest of the changes of the three from `baseline`, in thousandths, rounded
    /// away from zero; negative if everything became faster.
    #[must_use]
    pub fn change(&self, baseline: &Self) -> i64 {
        let pairs = self.all().into_iter().zip(baseline.all());
        pairs
            .map(|(now, before)| change(before, now))
            .max()
            .unwrap_or(0)
    }

    /// Three columns: each of the three before, now, and the change; without a baseline,
    /// only now.
    #[must_use]
    pub fn beside(&self, baseline: Option<&Self>) -> String {
        let Some(baseline) = baseline else {
            let now = self.all().map(|now| format!("{:>9}{now:>9}     new", ""));
            return now.concat();
        };
        let pairs = self.all().into_iter().zip(baseline.all());
        pairs.map(|(now, before)| column(before, now)).collect()
    }

    /// One column: the median beside another, and how much more it is.
    #[must_use]
    pub fn median_beside(&self, other: &Self) -> String {
        column(other.median, self.median)
    }
}

fn column(before: u64, now: u64) -> String {
    let change = change(before, now);
    let sign = if change < 0 { '-' } else { '+' };
    let percent = format!("{sign}{}.{}", change.abs() / 10, change.abs() % 10);
    format!("{before:>9}{now:>9}{percent:>6} %")
}

/// In thousandths of `before`, rounded away from zero.
fn change(before: u64, now: u64) -> i64 {
    let difference = (now as i64 - before as i64) * 1000;
    let before = before.max(1) as i64;
    (difference.abs() + before - 1) / before * difference.signum()
}

impl fmt::Display for Figures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [minimum, median, maximum] = self.all();
        write!(out, "{minimum:>9} {median:>9} {maximum:>9}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(minimum: u64, median: u64, maximum: u64) -> Figures {
        Figures {
            minimum,
            median,
            maximum,
        }
    }

    #[test]
    fn figures_are_the_ends_and_the_middle() {
        assert_eq!(Figures::of(vec![5, 1, 9]), Some(figures(1, 5, 9)));
        assert_eq!(Figures::of(vec![7]), Some(figures(7, 7, 7)));
        assert_eq!(Figures::of(Vec::new()), None);
    }

    #[test]
    fn the_worst_of_the_three_counts_and_is_rounded_against_the_change() {
        let before = figures(1000, 2000, 3000);
        assert_eq!(before.change(&before), 0);
        assert_eq!(figures(1000, 2000, 3031).change(&before), 11);
        assert_eq!(figures(1011, 2000, 2000).change(&before), 11);
        assert_eq!(figures(990, 1980, 2970).change(&before), -10);
        assert_eq!(figures(1, 0, 0).change(&figures(0, 0, 0)), 1000);
    }
}
