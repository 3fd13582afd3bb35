//! The bound on repairs against three cores on which donor, witness and target work, wait for
//! each other, and are held up by servers of higher priority.
mod common;
use common::{Random, at, span};
use tern_sched::analysis::{
    CostTable, Repair, RepairBound, RepairObstacle, RepairPlace, ServerContext, ServerModel,
    repair_bound,
};
use tern_sched::{Observer, Posted, Scheduler, ServerId, ServerParameters, ThreadId};

const SYSTEMS: u64 = if cfg!(debug_assertions) { 300 } else { 6_000 };

/// Counts how often the replica's server, the last one, runs out of budget.
struct Exhausted(ServerId, u64);

impl Observer for Exhausted {
    fn exhausted(&mut self, server: ServerId, _: Posted) {
        self.1 += u64::from(server == self.0);
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Role {
    Donor,
    Witness,
    Target,
    Nobody,
}

/// What the replica's thread is doing, and how much of it is left.
#[derive(Clone, Copy)]
enum Doing {
    Job,
    /// Reads the verdict.
    Learns,
    /// Will look whether there is a page for it.
    Looks,
    /// There was none; goes to sleep until then.
    FoundNone(u64),
    Page,
    Last,
}

/// What all three see of one another.
#[derive(Clone, Copy, Default)]
struct Pages {
    given: u64,
    confirmed: u64,
    taken: u64,
    done: Option<u64>,
}

struct Core {
    scheduler: Box<Scheduler<4, 4>>,
    observer: Exhausted,
    /// Of the others: thread, time to the next job at least, budget, what is left of a job.
    others: Vec<(ThreadId, u64, u64, u64)>,
    replica: ThreadId,
    doing: Doing,
    left: u64,
    role: Role,
}

impl Core {
    fn new(servers: &[ServerModel], random: &mut Random) -> Self {
        let mut scheduler = Box::new(Scheduler::new());
        let mut observer = Exhausted(ServerId::new(servers.len() as u16 - 1), 0);
        let mut threads = Vec::new();
        for (priority, it) in (0..).zip(servers) {
            let parameters = ServerParameters::sporadic(it.budget, it.period, priority);
            let server = scheduler.add_server(parameters).unwrap();
            threads.push((scheduler.add_thread(server).unwrap(), it));
        }
        let (replica, _) = threads.pop().unwrap();
        scheduler.sleep_until(replica, at(0), &mut observer);
        let others = threads.iter().map(|&(thread, it)| {
            let period = it.period.as_nanos();
            let first = at(random.within(0, period));
            scheduler.sleep_until(thread, first, &mut observer);
            (thread, period, it.budget.as_nanos(), 0)
        });
        Self {
            others: others.collect(),
            scheduler,
            observer,
            replica,
            doing: Doing::Job,
            left: 0,
            role: Role::Nobody,
        }
    }

    /// Runs whoever has the core until `now` + 1.
    fn tick(&mut self, now: u64, random: &mut Random, of: &Plan, pages: &mut Pages) {
        let runs = self.scheduler.dispatch(at(now), &mut self.observer).thread;
        if runs == Some(self.replica) {
            self.work(now, random, of, pages);
        } else if let Some(other) = self.others.iter_mut().find(|other| Some(other.0) == runs) {
            let (thread, period, budget, left) = other;
            if *left == 0 {
                *left = random.within(1, *budget * 3 / 2);
            }
            *left -= 1;
            if *left == 0 {
                // As early as possible most of the time.
                let wait = random.within(0, *period) * random.within(0, 1);
                let next = at(now + 1 + wait);
                self.scheduler
                    .sleep_until(*thread, next, &mut self.observer);
            }
        }
    }

    fn work(&mut self, now: u64, random: &mut Random, of: &Plan, pages: &mut Pages) {
        let Plan { repair, .. } = of;
        let release = now / of.epoch * of.epoch;
        // Nearly always what it may be.
        let some = |random: &mut Random, most: u64| match random.within(0, 9) {
            0 => random.within(1, most),
            _ => most,
        };
        if self.left == 0 {
            let most = repair.pages;
            let available = match self.role {
                Role::Donor => pages.given < most.min(pages.taken + repair.slots),
                Role::Witness => pages.confirmed < most,
                Role::Target => pages.taken < pages.given.min(pages.confirmed),
                Role::Nobody => false,
            };
            if let Doing::Looks = self.doing {
                self.doing = match available {
                    true => Doing::Page,
                    false if self.role == Role::Target && pages.taken == most => Doing::Last,
                    false => Doing::FoundNone(now + repair.pause().as_nanos()),
                };
            }
            self.left = match self.doing {
                Doing::Job => some(random, of.wcet),
                Doing::Learns | Doing::FoundNone(_) => some(random, repair.look.as_nanos()),
                Doing::Page => some(random, repair.page.as_nanos()),
                Doing::Last => some(random, repair.last.as_nanos()),
                Doing::Looks => unreachable!("it has looked"),
            };
        }
        self.left -= 1;
        if self.left > 0 {
            return;
        }
        let idle = match self.role {
            Role::Donor => pages.given == repair.pages,
            Role::Witness => pages.confirmed == repair.pages,
            Role::Target => pages.done.is_some(),
            Role::Nobody => true,
        };
        let (then, until) = match self.doing {
            Doing::Job => (Doing::Learns, release + of.verdict),
            Doing::Learns if !idle => (Doing::Looks, now),
            Doing::FoundNone(until) if !idle => (Doing::Looks, until),
            Doing::Page => {
                match self.role {
                    Role::Donor => pages.given += 1,
                    Role::Witness => pages.confirmed += 1,
                    _ => pages.taken += 1,
                }
                (Doing::Looks, now)
            }
            Doing::Last => {
                pages.done = Some(now + 1);
                (Doing::Job, release + of.epoch)
            }
            _ => (Doing::Job, release + of.epoch),
        };
        self.doing = then;
        // Donor and witness are done with their last page.
        let ended = match self.role {
            Role::Donor => pages.given == repair.pages,
            Role::Witness => pages.confirmed == repair.pages,
            _ => false,
        };
        let mut until = until;
        if ended && matches!(then, Doing::Looks) {
            (self.doing, until) = (Doing::Job, release + of.epoch);
        }
        if until > now + 1 {
            self.scheduler
                .sleep_until(self.replica, at(until), &mut self.observer);
        }
    }
}

struct Plan {
    repair: Repair,
    epoch: u64,
    verdict: u64,
    wcet: u64,
}

fn bound(plan: &Plan, cores: &[Vec<ServerModel>]) -> Result<RepairBound, RepairObstacle> {
    let places = cores.iter().map(|servers| RepairPlace {
        context: ServerContext {
            servers,
            index: servers.len() - 1,
            response: None,
            costs: &CostTable::NONE,
        },
        wcet: span(plan.wcet),
    });
    repair_bound(&plan.repair, &places.collect::<Vec<_>>())
}

fn random_plan(random: &mut Random) -> Plan {
    let epoch = random.within(100, 700);
    let verdict = random.within(20, epoch / 2);
    Plan {
        repair: Repair {
            pages: random.within(1, 14),
            page: span(random.within(1, 6)),
            look: span(random.within(1, 3)),
            last: span(random.within(1, 6)),
            slots: random.within(2, 5),
            window: span(epoch - verdict),
            looks: random.within(3, 12),
            epoch: span(epoch),
        },
        epoch,
        verdict,
        wcet: random.within(1, 10),
    }
}

/// Servers above the replica's, which has just the budget that is needed for a repair in
/// every epoch, or in every other.
fn random_cores(random: &mut Random, plan: &Plan) -> Option<(Vec<Vec<ServerModel>>, RepairBound)> {
    let others = |random: &mut Random| {
        let other = |random: &mut Random| {
            let period = random.within(8, 80);
            ServerModel::sporadic(span(random.within(1, period / 4)), span(period))
        };
        (0..random.within(0, 2))
            .map(|_| other(random))
            .collect::<Vec<_>>()
    };
    let above: Vec<_> = (0..3).map(|_| others(random)).collect();
    let period = plan.epoch - random.within(0, 1) * random.within(0, plan.epoch / 4);
    let apart = random.within(1, 2);
    let with = |budget: u64| {
        let own = ServerModel::sporadic(span(budget), span(period));
        let cores = above.iter().cloned().map(|mut servers| {
            servers.push(own);
            servers
        });
        cores.collect::<Vec<_>>()
    };
    let budgets = 1..=period;
    let mut found = budgets.map(|budget| (with(budget), bound(plan, &with(budget))));
    let fits = |it: &(_, Result<RepairBound, _>)| matches!(it.1, Ok(it) if it.apart <= apart);
    let (cores, bound) = found.find(fits)?;
    Some((cores, bound.ok()?))
}

#[test]
fn no_repair_takes_longer_than_its_bound_and_none_waits_for_budget() {
    let (mut repairs, mut close, mut ahead, mut every) = (0, 0, 0, 0);
    for seed in 0..SYSTEMS {
        let mut random = Random(seed);
        let plan = random_plan(&mut random);
        let Some((servers, bound)) = random_cores(&mut random, &plan) else {
            continue;
        };
        let mut cores: Vec<_> = servers
            .iter()
            .map(|servers| Core::new(servers, &mut random))
            .collect();
        every += u64::from(bound.apart == 1);
        for epoch in 0..5 {
            let mut roles = [Role::Nobody; 3];
            if epoch % bound.apart == 0 {
                roles = [Role::Donor, Role::Witness, Role::Target];
                roles.rotate_left(random.within(0, 2) as usize);
                if random.within(0, 1) == 0 {
                    roles.swap(0, 1);
                }
            }
            let (mut pages, release) = (Pages::default(), epoch * plan.epoch);
            for (core, role) in cores.iter_mut().zip(roles) {
                core.role = role;
            }
            for now in release..release + plan.epoch {
                let before = pages;
                for core in &mut cores {
                    // What others do in this instant is seen in the next.
                    let mut seen = before;
                    core.tick(now, &mut random, &plan, &mut seen);
                    pages.given = pages.given.max(seen.given);
                    pages.confirmed = pages.confirmed.max(seen.confirmed);
                    pages.taken = pages.taken.max(seen.taken);
                    pages.done = pages.done.or(seen.done);
                }
            }
            let about = || format!("seed {seed}, epoch {epoch}: {:?}, {servers:?}", plan.repair);
            for core in &cores {
                assert_eq!(core.observer.1, 0, "{}", about());
            }
            if roles[0] == Role::Nobody {
                continue;
            }
            let took = pages.done.map(|done| done - release - plan.verdict);
            let limit = bound.time.as_nanos();
            assert!(
                took.is_some_and(|took| took <= limit),
                "{took:?}, not {limit}: {}",
                about()
            );
            repairs += 1;
            close += u64::from(took.is_some_and(|took| 10 * took >= 8 * limit));
            ahead += u64::from(plan.repair.pages > plan.repair.slots);
        }
    }
    assert!(
        repairs > SYSTEMS && close > SYSTEMS / 20 && ahead > SYSTEMS / 4 && every > SYSTEMS / 10,
        "{repairs} repairs, {close} close to the bound, {ahead} with more pages than slots, \
         {every} systems with one in every epoch"
    );
}

fn plan() -> Plan {
    Plan {
        repair: Repair {
            pages: 10,
            page: span(4),
            look: span(1),
            last: span(4),
            slots: 8,
            window: span(180),
            looks: 6,
            epoch: span(240),
        },
        epoch: 240,
        verdict: 60,
        wcet: 20,
    }
}

fn alone(budget: u64) -> Vec<Vec<ServerModel>> {
    vec![vec![ServerModel::sporadic(span(budget), span(240))]; 3]
}

/// Pages 10 · 4, the last step 4, and 7 looks: 51 for a repair, 20 for the job.
#[test]
fn the_budget_decides_whether_every_epoch_may_have_a_repair() {
    let apart = |budget| bound(&plan(), &alone(budget)).map(|bound| bound.apart);
    assert_eq!(apart(20 + 2 * 51), Ok(1));
    assert_eq!(apart(20 + 2 * 51 - 1), Ok(2));
    assert_eq!(apart(20 + 51), Ok(2));
    let obstacle = RepairObstacle::Budget {
        place: 0,
        needed: span(71),
    };
    assert_eq!(apart(20 + 51 - 1), Err(obstacle));
}

#[test]
fn waits_and_stretches_of_work_add_up() {
    let time = |plan: &Plan| bound(plan, &alone(200)).map(|bound| bound.time.as_nanos());
    let with = |pages| Plan {
        repair: Repair {
            pages,
            ..plan().repair
        },
        ..plan()
    };
    // Up to 8 pages: a pause of 30, a look in each of two stretches, 8 + 2 pages.
    assert_eq!(time(&with(8)), Ok(30 + 2 + 4 * 10));
    // Of 9 the donor may be 8 ahead and wait: three pauses, four looks, 9 + 2 − 6 pages.
    assert_eq!(time(&with(9)), Ok(3 * 30 + 4 + 4 * 5));
    let short = Plan {
        repair: Repair {
            window: span(71),
            looks: 1,
            ..with(8).repair
        },
        ..plan()
    };
    let obstacle = RepairObstacle::Window {
        window: span(71),
        needed: span(71 + 2 + 40),
    };
    assert_eq!(time(&short), Err(obstacle));
    assert_eq!(time(&with(500)), Err(RepairObstacle::Pages));
}

/// With 31 pages and 2 slots the donor may wait 15 times, with 33 once more.
#[test]
fn more_than_32_stretches_in_a_row_have_no_bound() {
    let time = |pages| {
        let repair = Repair {
            pages,
            page: span(1),
            last: span(1),
            slots: 2,
            window: span(400),
            looks: 40,
            epoch: span(500),
            ..plan().repair
        };
        bound(&Plan { repair, ..plan() }, &alone(200)).map(|bound| bound.time.as_nanos())
    };
    // 31 pauses of 10, 32 looks, 31 + 2 pages, of which no wait takes any.
    assert_eq!(time(31), Ok(31 * 10 + 32 + 33));
    // It would be 33 · 10 + 34 + 35, just within the window.
    assert_eq!(time(33), Err(RepairObstacle::Pages));
}

/// 498 pages, one that is waited for and the last step are 500; none is beyond the slots.
#[test]
fn up_to_500_pages_have_a_bound() {
    let time = |pages| {
        let repair = Repair {
            pages,
            page: span(1),
            last: span(1),
            slots: 500,
            window: span(6_000),
            epoch: span(6_000),
            ..plan().repair
        };
        let own = ServerModel::sporadic(span(1_500), span(6_000));
        bound(&Plan { repair, ..plan() }, &[vec![own]]).map(|bound| bound.time.as_nanos())
    };
    // A pause of 1000, and two looks.
    assert_eq!(time(498), Ok(1_000 + 2 + 500));
    assert_eq!(time(499), Err(RepairObstacle::Pages));
}

/// A page of 4, a look of 1, below 10 every 22: one page ends at 15, two at 19. With the last
/// step they would end at 23, but at 22 the next 10 come: 33. None, a look in vain, ends at 11.
#[test]
fn the_longest_stretch_may_have_all_the_pages() {
    let servers = vec![
        ServerModel::sporadic(span(10), span(22)),
        ServerModel::sporadic(span(100), span(240)),
    ];
    let repair = Repair {
        pages: 1,
        ..plan().repair
    };
    let time = bound(&Plan { repair, ..plan() }, &[servers]).map(|bound| bound.time);
    // A pause of 30. One page before it and two after it, or the reverse, would be 15 + 19.
    assert_eq!(time, Ok(span(30 + 33 + 11)));
}

/// An activation costs 2; above is a server with 5 every 60, which is activated three times from
/// verdict to release and once before.
#[test]
fn activations_cost_time_and_budget() {
    let costs = CostTable {
        replenishment: span(2),
        ..CostTable::NONE
    };
    let with = |budget| {
        let servers = [
            ServerModel::sporadic(span(5), span(60)),
            ServerModel::sporadic(span(budget), span(240)),
        ];
        let context = ServerContext {
            servers: &servers,
            index: 1,
            response: None,
            costs: &costs,
        };
        let repair = Repair {
            pages: 8,
            ..plan().repair
        };
        let wcet = span(20);
        repair_bound(&repair, &[RepairPlace { context, wcet }])
            .map(|bound| (bound.time.as_nanos(), bound.apart))
    };
    // A pause; in each of two stretches a look, an activation, and 5 + 2 above; 8 + 2 pages.
    let time = 30 + 2 * (1 + 2 + 5 + 2) + 4 * 10;
    // The job with two activations; 8 pages, the last step and 7 looks, with 3 + 7 activations.
    let (job, repair) = (20 + 2 * 2, 4 * 9 + 7 + 2 * 10);
    assert_eq!(with(job + 2 * repair), Ok((time, 1)));
    assert_eq!(with(job + 2 * repair - 1), Ok((time, 2)));
    assert_eq!(with(job + repair), Ok((time, 2)));
    let obstacle = RepairObstacle::Budget {
        place: 0,
        needed: span(job + repair),
    };
    assert_eq!(with(job + repair - 1), Err(obstacle));
}

#[test]
fn an_obstacle_says_what_to_change() {
    let cases = [
        (
            RepairObstacle::Server(0),
            "it needs a sporadic server with a response time, of one thread, and a period up to \
             the set's",
        ),
        (
            RepairObstacle::Budget {
                place: 1,
                needed: span(71_000),
            },
            "job and repair take up to 71us: give it that budget, or promise fewer pages",
        ),
        (
            RepairObstacle::Window {
                window: span(24_000_000),
                needed: span(25_000_000),
            },
            "it takes up to 25ms, and from verdict to release there are 24ms: lengthen that time, \
             or promise fewer pages",
        ),
        (
            RepairObstacle::Pages,
            "donor and target may wait for each other too often: promise fewer pages",
        ),
    ];
    for (obstacle, text) in cases {
        assert_eq!(obstacle.to_string(), text);
    }
}

#[test]
fn only_a_sporadic_server_with_a_period_up_to_the_epoch_is_analysed() {
    let of = |own: ServerModel| bound(&plan(), &[vec![own]]).map(|bound| bound.apart);
    assert_eq!(of(ServerModel::sporadic(span(200), span(240))), Ok(1));
    let unfit = Err(RepairObstacle::Server(0));
    assert_eq!(of(ServerModel::sporadic(span(200), span(241))), unfit);
    assert_eq!(of(ServerModel::io(span(200), span(240))), unfit);
}
