//! How long the repair of a replica takes between a verdict and the next release.
//!
//! Three threads on three cores work at the same list of pages, in order: a *donor* gives
//! them, a *witness* confirms them, the *target* takes them. Each works at its own server's
//! priority, on what is left of its budget. The donor is at most so many *slots* ahead of the
//! target. Who looks and finds nothing to do looks again a *pause* after the instant before that
//! look.
use super::level::{Level, interferers};
use super::model::ServerContext;
use super::search::Steps;
use crate::ServerKind;
use core::fmt;
use tern_units::Duration;

/// More pages than this have no bound.
pub const MOST_REPAIR_PAGES: u64 = 500;

/// More stretches than this in a row have none either.
const MOST_STRETCHES: u64 = 32;

/// What is to be repaired, and what that takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repair {
    /// Pages that differ, at most.
    pub pages: u64,
    /// The work that a page is for any of the three.
    pub page: Duration,
    /// The work of a look that finds nothing to do, and of learning the verdict.
    pub look: Duration,
    /// The target's work after the last page.
    pub last: Duration,
    /// How many pages the donor may be ahead of the target.
    pub slots: u64,
    /// From the verdict's deadline to the next release, in which all of it happens.
    pub window: Duration,
    /// How many pauses that is.
    pub looks: u64,
    /// From release to release.
    pub epoch: Duration,
}

impl Repair {
    /// From the instant before a look that finds nothing to do to the next look.
    #[must_use]
    pub fn pause(&self) -> Duration {
        let pause = self.window.as_nanos() / self.looks.max(1);
        Duration::from_nanos(pause.max(1))
    }

    /// Pages' worth of work after the pages: the last step.
    fn after(&self) -> u64 {
        let page = self.page.as_nanos().max(1);
        self.last.as_nanos().div_ceil(page).max(1)
    }
}

/// Where a replica runs: its thread is the only one of its server.
#[derive(Clone, Copy, Debug)]
pub struct RepairPlace<'a> {
    /// Its server.
    pub context: ServerContext<'a>,
    /// What its job takes at most.
    pub wcet: Duration,
}

/// A bound on the repair of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepairBound {
    /// From the verdict's deadline to the last page in place.
    pub time: Duration,
    /// How many epochs repairs have to be apart for that: 1 if there may be one in each, 2 if
    /// there has to be one without between two of them.
    pub apart: u64,
}

/// Why there is no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepairObstacle {
    /// The server at this place is none that is analysed: sporadic, with a period up to the
    /// epoch, below servers that leave it something.
    Server(usize),
    /// The server at this place has too small a budget.
    Budget {
        /// The place.
        place: usize,
        /// What its job and a repair take.
        needed: Duration,
    },
    /// The time until the next release is too short.
    Window {
        /// The time there is.
        window: Duration,
        /// The time that may be needed.
        needed: Duration,
    },
    /// There are too many pages, for the pauses until the next release or altogether.
    Pages,
}

impl fmt::Display for RepairObstacle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(_) => out.write_str(
                "it needs a sporadic server with a response time, of one thread, and a period up \
                 to the set's",
            ),
            Self::Budget { needed, .. } => write!(
                out,
                "job and repair take up to {needed}: give it that budget, or promise fewer pages"
            ),
            Self::Window { window, needed } => write!(
                out,
                "it takes up to {needed}, and from verdict to release there are {window}: lengthen \
                 that time, or promise fewer pages"
            ),
            Self::Pages => out.write_str(
                "donor and target may wait for each other too often: promise fewer pages",
            ),
        }
    }
}

impl core::error::Error for RepairObstacle {}

/// The time to repair a replica whose ballot was not the majority's, in the epoch of the
/// verdict, if no more than `repair.pages` pages differ. Any of `places` may be donor, witness
/// or target.
///
/// *Assumed:* the verdict stands at its deadline, 0 here. All pages of the target are hashed:
/// its job was not cancelled, and its leaves add up to its ballot. No job takes more than its
/// `wcet`. Repairs of earlier epochs had no more pages, and were `apart`; nobody hashed all of
/// its pages meanwhile. A server has no minimum budget and room for `looks` + 3
/// replenishments. The donor's look finds the target's record whole.
///
/// *Budget.* Let D be what a thread takes from the verdict on: pages, looks, its activations,
/// and the kernel's work for others that come meanwhile; J the same from the release to the
/// verdict. What is activated at t is back at t + T (rule 3), so at any instant all but what
/// was activated in the T ≤ epoch before. That is J and what two repairs take, of this
/// epoch and the one before, at most; or J and one, if there was none in that. So with
/// C ≥ J + 2D, or C ≥ J + D, nobody waits for budget; nor does the kernel stop a repair
/// for the next job's sake, as C − D is there at the next release.
///
/// *Time.* Let h(n) be the longest time that a thread takes for n pages from any instant on at
/// which it is awake: the least solution of w = B + I(w) + n pages, a look and an activation,
/// on the core where that is longest. Let S be the slots, q the pause, P the pages. Consider
/// the instant s at which the target last looked in vain, with n pages taken. It is awake again,
/// or still at that look, at s + q, and done by s + q + h(P − n + last). Why did it wait?
///
/// * The witness had not confirmed page n + 1. It never waits, so s < h(n + 1).
/// * The donor had not given it, and had not waited before either: s < h(n + 1).
/// * The donor last looked in vain at s′ < s, with m ≤ n given, since the target had taken
///   m − S. So s < s′ + q + h(n + 1 − m). And the target: at s′ it either worked at page
///   m − S + 1, or waited for it. With s″ the instant at which it last looked in vain until
///   then, n″ ≤ m − S pages taken, s′ < s″ + q + h(m − S + 1 − n″), and of s″ the same is true as
///   of s. (If it had never waited, s′ < h(m − S + 1), which is less.)
///
/// Where the third is the reason k times, n ≥ kS, so k ≤ (P − 1)/S. All together it takes
/// 2k + 1 pauses and 2k + 2 stretches of work, of P + 1 + last − k(S − 2) pages in all: the bound
/// is the greatest sum of that over k and over the lengths of the stretches. A wait that would
/// not end before the next release would end after the bound; so if that is before the release,
/// nobody gives up.
///
/// # Errors
/// What stands in the way.
pub fn repair_bound(
    repair: &Repair,
    places: &[RepairPlace<'_>],
) -> Result<RepairBound, RepairObstacle> {
    let longest = Longest::of(repair, places)?;
    let mut apart = 1;
    for (index, place) in places.iter().enumerate() {
        apart = apart.max(epochs_apart(repair, index, place)?);
    }
    let slots = repair.slots.max(1);
    let most = repair.pages.saturating_sub(1) / slots;
    let (mut needed, mut stretches) = (0, longest);
    for waits in 0..=most {
        if 2 * waits + 2 > MOST_STRETCHES {
            return Err(RepairObstacle::Pages);
        }
        let pages = repair.pages + 1 + repair.after() + 2 * waits - slots * waits;
        stretches.reach(2 * waits + 2);
        let pauses = repair.pause().saturating_mul(2 * waits + 1).as_nanos();
        needed = needed.max(pauses.saturating_add(stretches.longest(pages)));
    }
    let (needed, window) = (Duration::from_nanos(needed), repair.window);
    match needed <= window {
        true => Ok(RepairBound {
            time: needed,
            apart,
        }),
        false => Err(RepairObstacle::Window { window, needed }),
    }
}

/// How far apart repairs have to be for the server at a place to have its budget.
fn epochs_apart(
    repair: &Repair,
    index: usize,
    place: &RepairPlace<'_>,
) -> Result<u64, RepairObstacle> {
    let ServerContext { servers, costs, .. } = place.context;
    let own = &servers[place.context.index];
    let others = |window: Duration| {
        let above = interferers(servers, place.context.index);
        above.fold(0, |sum: u64, (server, _)| {
            sum.saturating_add(server.activations_in(window.as_nanos(), &costs.into()))
        })
    };
    let each = costs.activation();
    let wakes = repair.looks.saturating_add(1);
    let interrupts = others(repair.window).saturating_add(wakes);
    let pages = repair.pages.saturating_add(repair.after());
    let repairing = repair
        .page
        .saturating_mul(pages)
        .saturating_add(repair.look.saturating_mul(wakes))
        .saturating_add(each.saturating_mul(interrupts));
    let before = others(repair.epoch.saturating_sub(repair.window)).saturating_add(1);
    let job = place.wcet.saturating_add(each.saturating_mul(before));
    let once = job.saturating_add(repairing);
    match own.budget {
        budget if budget >= once.saturating_add(repairing) => Ok(1),
        budget if budget >= once => Ok(2),
        _ => Err(RepairObstacle::Budget {
            place: index,
            needed: once,
        }),
    }
}

/// The longest time that some stretches of work take, by pages in all.
struct Longest {
    /// Of one: h.
    one: [u64; LENGTHS],
    /// Of so many.
    all: [u64; LENGTHS],
    stretches: u64,
    lengths: usize,
}

const LENGTHS: usize = MOST_REPAIR_PAGES as usize + 1;

impl Longest {
    /// Of one stretch.
    fn of(repair: &Repair, places: &[RepairPlace<'_>]) -> Result<Self, RepairObstacle> {
        let most = repair
            .pages
            .saturating_add(repair.after())
            .saturating_add(1);
        if most > MOST_REPAIR_PAGES {
            return Err(RepairObstacle::Pages);
        }
        let mut one = [0; LENGTHS];
        for (index, place) in places.iter().enumerate() {
            let unfit = RepairObstacle::Server(index);
            let ServerContext { servers, costs, .. } = place.context;
            let fits = servers.get(place.context.index).filter(|own| {
                let sporadic = own.kind == ServerKind::Sporadic && own.is_valid();
                sporadic && own.period <= repair.epoch
            });
            let own = fits.ok_or(unfit)?;
            let mut level = Level::of(servers, place.context.index, own, costs);
            let mut steps = Steps::for_servers(servers.len());
            if level.is_overloaded(own) {
                return Err(unfit);
            }
            let always = costs.activation().saturating_add(repair.look);
            for (pages, longest) in (0..).zip(&mut one).take(most as usize + 1) {
                let work = repair.page.saturating_mul(pages).saturating_add(always);
                steps.begin();
                let end = level.end_of(work.as_nanos(), &mut steps);
                let end = end
                    .map_err(|_| unfit)?
                    .saturating_add(own.jitter.as_nanos());
                *longest = end.max(*longest);
            }
        }
        Ok(Self {
            one,
            all: one,
            stretches: 1,
            lengths: most as usize + 1,
        })
    }

    /// Goes on to so many stretches.
    fn reach(&mut self, stretches: u64) {
        while self.stretches < stretches {
            let before = self.all;
            for pages in 0..self.lengths {
                let splits = before[..=pages].iter().zip(self.one[..=pages].iter().rev());
                let sums = splits.map(|(others, last)| others.saturating_add(*last));
                self.all[pages] = sums.max().unwrap_or(0);
            }
            self.stretches += 1;
        }
    }

    /// The longest time for so many pages.
    fn longest(&self, pages: u64) -> u64 {
        let pages = usize::try_from(pages).unwrap_or(usize::MAX);
        let known = &self.all[..self.lengths];
        known.get(pages).copied().unwrap_or(u64::MAX)
    }
}
