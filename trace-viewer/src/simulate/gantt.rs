//! Schedules drawn in characters, one column a fixed length of time.
use tern_sim::JobHistory;
use tern_units::{Duration, Instant};

/// The most columns of a chart.
const COLUMNS: u64 = 80;

/// A time axis from the epoch to the end of a simulation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    /// Nanoseconds of a column: 1, 2 or 5 times a power of ten.
    column: u64,
    columns: usize,
    end: u64,
}

impl Axis {
    /// The finest axis that fits.
    pub(super) fn new(end: Instant) -> Self {
        let end = end.as_nanos();
        let powers = (0..19).map(|exponent| 10_u64.pow(exponent));
        let mut steps = powers.flat_map(|power| [1, 2, 5].map(|step| power.saturating_mul(step)));
        let column = steps
            .find(|step| end.div_ceil(*step) <= COLUMNS)
            .unwrap_or(u64::MAX);
        Self {
            column,
            columns: end.div_ceil(column) as usize,
            end,
        }
    }

    pub(super) fn column(&self) -> Duration {
        Duration::from_nanos(self.column)
    }

    /// Times over every tenth column, and ticks below them.
    pub(super) fn labels(&self) -> [String; 2] {
        let (mut times, mut ticks) = (String::new(), String::new());
        for index in (0..=self.columns).step_by(10) {
            let at = Duration::from_nanos(self.column.saturating_mul(index as u64));
            for (line, mark) in [(&mut times, at.to_string()), (&mut ticks, "|".into())] {
                // A label that would run into the last one is left out.
                if line.is_empty() || line.chars().count() < index {
                    let gap = index - line.chars().count();
                    line.extend(std::iter::repeat_n(' ', gap));
                    line.push_str(&mark);
                }
            }
        }
        [times, ticks]
    }

    /// `#` where a server ran at least half of the column, `-` where it ran less, `.`
    /// where it did not.
    pub(super) fn runs(&self, runs: &[(Instant, Instant)]) -> String {
        let mut used = vec![0_u64; self.columns];
        for (from, to) in runs {
            let (mut at, to) = (from.as_nanos(), to.as_nanos());
            while at < to {
                let index = at / self.column;
                let end = (index + 1).saturating_mul(self.column).min(to);
                if let Some(used) = used.get_mut(index as usize) {
                    *used += end - at;
                }
                at = end;
            }
        }
        let width = |index: usize| {
            let start = index as u64 * self.column;
            self.column.min(self.end - start)
        };
        let marks = used.iter().enumerate().map(|(index, used)| match *used {
            0 => '.',
            used if used >= width(index).div_ceil(2) => '#',
            _ => '-',
        });
        marks.collect()
    }

    /// `^` at a release, `v` at a completion, `x` where both fall into a column, `!`
    /// where a deadline passes before the job is done.
    pub(super) fn jobs<'a>(&self, jobs: impl Iterator<Item = &'a JobHistory>) -> String {
        let mut marks = vec![' '; self.columns];
        let mut mark = |nanos: u64, sign: char| {
            let Some(place) = marks.get_mut((nanos / self.column) as usize) else {
                return;
            };
            *place = match (*place, sign) {
                ('!', _) | (_, '!') => '!',
                (' ', sign) => sign,
                (old, new) if old == new => old,
                _ => 'x',
            };
        };
        for job in jobs {
            mark(job.release.as_nanos(), '^');
            if let Some(finish) = job.finish {
                // The column in which the last of it ran.
                mark(finish.as_nanos() - 1, 'v');
            }
            if job.missed(Instant::from_nanos(self.end)) {
                mark(job.deadline.as_nanos(), '!');
            }
        }
        let text: String = marks.into_iter().collect();
        text.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(end: u64) -> Axis {
        Axis::new(Instant::from_nanos(end))
    }

    #[test]
    fn the_axis_is_as_fine_as_eighty_columns_allow() {
        for (end, column, columns) in [
            (0, 1, 0),
            (1, 1, 1),
            (80, 1, 80),
            (81, 2, 41),
            (300, 5, 60),
            (40_000_000, 500_000, 80),
            (40_000_001, 1_000_000, 41),
            (u64::MAX, 500_000_000_000_000_000, 37),
        ] {
            let axis = axis(end);
            assert_eq!((axis.column, axis.columns), (column, columns), "{end}");
        }
    }

    #[test]
    fn labels_stand_over_their_columns() {
        assert_eq!(
            axis(40).labels(),
            [
                "0ns       10ns      20ns      30ns      40ns",
                "|         |         |         |         |"
            ]
        );
    }

    #[test]
    fn runs_are_seen_however_short() {
        let at = Instant::from_nanos;
        let runs = [(at(0), at(20)), (at(25), at(26)), (at(798), at(805))];
        let text = axis(805).runs(&runs);
        assert_eq!(text.len(), 41);
        assert_eq!(&text[..3], "#-.");
        assert_eq!(
            &text[39..],
            "-#",
            "the last column ends with the simulation"
        );
    }
}
