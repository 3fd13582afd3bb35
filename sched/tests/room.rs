//! No list of replenishments ever needs more room than the analysis gives it: random systems
//! under the real scheduler, whose lists have room for thousands.
mod common;
use common::{Random, at, span};
use std::collections::VecDeque;
use tern_sched::analysis::{
    CostTable, Room, ServerContext, ServerModel, Waking, periods_behind, server_responses,
};
use tern_sched::{Scheduler, ServerId, ServerParameters, Silent, ThreadId};

const SYSTEMS: u64 = if cfg!(debug_assertions) {
    4_000
} else {
    300_000
};

/// More than any list here ever has.
const PLENTY: u32 = 1 << 12;

/// Jobs of a thread: release, work.
type Queue = VecDeque<(u64, u64)>;

/// A thread of the server whose list is watched.
#[derive(Clone, Copy, Debug)]
struct Thread {
    work: u64,
    period: u64,
    jitter: u64,
    by_clock: bool,
}

impl Thread {
    fn waking(&self, server: u64) -> Waking {
        let (work, period) = (span(self.work), span(self.period));
        match self.by_clock {
            true => Waking::by_clock(work, period, span(server)),
            false => Waking {
                jitter: span(self.jitter),
                ..Waking::at_any_time(work, period)
            },
        }
    }

    /// Jobs until `end`: those of a clock in step with it, others as close as they may be, or
    /// further apart; most take all of their work.
    fn jobs(&self, random: &mut Random, end: u64) -> Queue {
        let mut jobs = VecDeque::new();
        let (mut arrival, style) = (random.within(0, 2 * self.period), random.within(0, 2));
        while arrival < end {
            let work = match random.within(0, 4) {
                0 => random.within(1, self.work),
                _ => self.work,
            };
            jobs.push_back((arrival + random.within(0, self.jitter), work));
            arrival += match style {
                _ if self.by_clock => self.period,
                0 => self.period,
                1 => self.period + random.within(0, 20),
                _ => random.within(self.period, 2 * self.period),
            };
        }
        // A later arrival may be released first.
        jobs.make_contiguous().sort_unstable();
        jobs
    }
}

/// A server with its threads, below others that use all or some of their budgets.
#[derive(Clone, Debug)]
struct Case {
    budget: u64,
    period: u64,
    threads: Vec<Thread>,
    above: Vec<(u64, u64)>,
    /// How late a timer may fire.
    late_timers: u64,
}

impl Case {
    fn random(random: &mut Random) -> Self {
        let period = random.within(20, 100);
        let jitter = match random.within(0, 2) {
            0 => period / 2,
            _ => 0,
        };
        let clocks = random.within(0, 3);
        let thread = |random: &mut Random, work: (u64, u64), apart: (u64, u64)| {
            let by_clock = random.within(0, 3) < clocks;
            Thread {
                work: random.within(work.0, work.1),
                period: random.within(apart.0, apart.1),
                jitter: if by_clock {
                    0
                } else {
                    random.within(0, jitter)
                },
                by_clock,
            }
        };
        let mut threads: Vec<_> = (0..random.within(1, 6))
            .map(|_| thread(random, (1, 2), (period / 2, 2 * period)))
            .collect();
        if random.within(0, 4) > 0 {
            threads.push(thread(random, (5, 60), (period, 6 * period)));
        }

        // What they ask for in the long run, or in a period, or a little more.
        let share: f64 = threads
            .iter()
            .map(|it| it.work as f64 / it.period as f64)
            .sum();
        let in_period: u64 = threads
            .iter()
            .map(|it| (period + it.jitter).div_ceil(it.period) * it.work)
            .sum();
        let budget = match random.within(0, 3) {
            0 => in_period,
            _ => ((share * period as f64).ceil() as u64).max(2) + random.within(0, 6),
        };
        let above = (0..random.within(0, 2)).map(|_| {
            let period = random.within(5, 150);
            (random.within(1, period / 2), period)
        });
        Self {
            budget: budget.min(period),
            period,
            threads,
            above: above.collect(),
            late_timers: random.within(0, 5).saturating_sub(3),
        }
    }

    fn wakings(&self) -> Vec<Waking> {
        let threads = self.threads.iter();
        threads.map(|it| it.waking(self.period)).collect()
    }

    /// How late its supply may be, R − C; `None` if it is not schedulable. A timer that is late
    /// is a section that cannot be preempted.
    fn late(&self) -> Option<u64> {
        let costs = CostTable {
            longest_non_preemptible: span(self.late_timers),
            ..CostTable::NONE
        };
        let servers = self
            .above
            .iter()
            .copied()
            .chain([(self.budget, self.period)]);
        let servers: Vec<_> = servers
            .map(|(budget, period)| ServerModel::sporadic(span(budget), span(period)))
            .collect();
        let response = server_responses(&servers, &costs).last()?.response?;
        // Its own timer is as late.
        let late = response.as_nanos() - self.budget + self.late_timers;
        (response <= span(self.period)).then_some(late)
    }

    fn room(&self) -> Option<Room> {
        let costs = CostTable::NONE;
        let servers = [ServerModel::sporadic(span(self.budget), span(self.period))];
        let context = ServerContext {
            servers: &servers,
            index: 0,
            response: Some(span(self.budget)),
            costs: &costs,
        };
        let (wakings, late) = (self.wakings(), self.late()?);
        let periods = periods_behind(&wakings, context.supply()?, span(self.budget), span(late));
        Some(Room::new(&wakings, span(self.period), periods))
    }

    fn end(&self) -> u64 {
        20 * self.period + 300
    }

    /// Runs it once with this room, and returns how long its list was at most.
    fn run(&self, random: &mut Random, room: u32) -> usize {
        let end = self.end();
        let jobs = self.threads.iter().map(|it| it.jobs(random, end)).collect();
        self.run_jobs(random, room, jobs)
    }

    /// The same, with these jobs of its threads.
    fn run_jobs(&self, random: &mut Random, room: u32, jobs: Vec<Queue>) -> usize {
        let above = (0..).zip(&self.above).map(|(priority, &(budget, period))| {
            let thread = Thread {
                work: budget,
                period,
                jitter: 0,
                by_clock: false,
            };
            let parameters = ServerParameters::sporadic(span(budget), span(period), priority);
            (parameters, vec![thread.jobs(random, self.end())])
        });
        let own = ServerParameters::sporadic(span(self.budget), span(self.period), 3);
        let servers: Vec<_> = above.chain([(own, jobs)]).collect();
        let late = self.late_timers;
        watch(&servers, room, self.end(), || random.within(0, late))
    }
}

/// Runs servers with the jobs of their threads until `end`, twice: with this room in the list of
/// the last, and with plenty. Nobody can tell the two apart. Returns how long that list was at
/// most.
fn watch(
    servers: &[(ServerParameters, Vec<Queue>)],
    room: u32,
    end: u64,
    mut late: impl FnMut() -> u64,
) -> usize {
    let mut schedulers = [room, PLENTY].map(|room| {
        let mut scheduler = Box::new(Scheduler::<4, 16>::new());
        for (index, (parameters, threads)) in servers.iter().enumerate() {
            let is_last = index + 1 == servers.len();
            let room = if is_last { room } else { PLENTY };
            let server = scheduler.add_server(parameters.with_room(room)).unwrap();
            for jobs in threads {
                let thread = scheduler.add_thread(server).unwrap();
                rest(&mut scheduler, thread, jobs.front());
            }
        }
        scheduler
    });
    let mut queues: Vec<_> = servers
        .iter()
        .flat_map(|(_, threads)| threads.clone())
        .collect();
    let watched = ServerId::new(servers.len() as u16 - 1);
    let (mut now, mut longest) = (0, 0);
    while now < end {
        let [decision, other] = schedulers
            .each_mut()
            .map(|scheduler| scheduler.dispatch(at(now), &mut Silent));
        let [list, long] = schedulers
            .each_ref()
            .map(|it| it.sporadic(watched).unwrap().replenishments());
        longest = longest.max(list.size_hint().0);
        assert_eq!(decision, other, "at {now}, room for {room}");
        assert!(list.eq(long), "at {now}, room for {room}");

        let timer = decision.timer.as_nanos().saturating_add(late());
        let Some(thread) = decision.thread else {
            now = timer;
            continue;
        };
        let queue = &mut queues[thread.index()];
        let (_, work) = queue.front_mut().expect("only threads with work run");
        let ran = (timer - now).min(*work);
        now += ran;
        *work -= ran;
        if *work == 0 {
            queue.pop_front();
            for scheduler in &mut schedulers {
                rest(scheduler, thread, queue.front());
            }
        }
    }
    longest
}

/// The thread has done a job: it sleeps until the next one.
fn rest(scheduler: &mut Scheduler<4, 16>, thread: ThreadId, next: Option<&(u64, u64)>) {
    match next {
        Some((release, _)) => scheduler.sleep_until(thread, at(*release), &mut Silent),
        None => scheduler.block(thread, &mut Silent),
    }
}

#[test]
fn no_list_is_ever_longer_than_its_room() {
    let mut seen = [0_u64; 5];
    let [systems, bounded, beyond_a_period, by_clock, at_the_bound] = &mut seen;
    for seed in 0..SYSTEMS {
        let mut random = Random(seed);
        let case = Case::random(&mut random);
        let Some(room) = case.room() else { continue };
        *systems += 1;
        if !room.is_enough {
            continue;
        }
        *bounded += 1;
        let of_a_period = Room::new(&case.wakings(), span(case.period), Some(1));
        *by_clock += u64::from(case.threads.iter().all(|it| it.by_clock));
        for _ in 0..2 {
            let longest = case.run(&mut random, room.replenishments);
            *beyond_a_period += u64::from(longest > of_a_period.replenishments as usize);
            *at_the_bound += u64::from(longest == room.replenishments as usize);
        }
    }
    println!(
        "systems {systems}, with a bound {bounded}, all by clock {by_clock}; longest lists beyond \
         the wakes of a period {beyond_a_period}, at the bound {at_the_bound}"
    );
    // The search meets what it is for.
    assert!(
        *bounded > SYSTEMS / 4 && *by_clock > SYSTEMS / 100,
        "{seen:?}"
    );
    assert!(cfg!(debug_assertions) || seen[2] > 0, "{seen:?}");
}

#[test]
fn where_only_the_clock_wakes_the_list_has_room_whatever_the_jobs_do() {
    let mut seen = [0_u64; 2];
    for seed in 0..SYSTEMS / 8 {
        let mut random = Random(seed);
        let mut case = Case::random(&mut random);
        // Periods that have few instants modulo the server's.
        case.period = case.period.next_multiple_of(12);
        case.threads.truncate(3);
        for thread in &mut case.threads {
            (thread.by_clock, thread.jitter) = (true, 0);
            let twelfths = [3, 4, 6, 8, 9, 12, 18, 24][random.within(0, 7) as usize];
            thread.period = case.period / 12 * twelfths;
        }
        let room = Room::new(&case.wakings(), span(case.period), None);
        assert!(room.is_enough);
        let mut jobs: Vec<_> = (case.threads.iter())
            .map(|it| it.jobs(&mut random, case.end()))
            .collect();
        for (_, work) in jobs.iter_mut().flatten() {
            *work = match random.within(0, 5) {
                0 => random.within(1, 2 * case.budget),
                _ => 1,
            };
        }
        let longest = case.run_jobs(&mut random, room.replenishments, jobs);
        seen[0] += 1;
        seen[1] += u64::from(longest + 2 >= room.replenishments as usize);
    }
    println!("systems {}, up to 2 from the bound {}", seen[0], seen[1]);
    assert!(seen[1] > seen[0] / 20, "{seen:?}");
}

/// Threads that are woken more often, and work longer, than their description says, with the
/// room that it gives them: their list is full again and again, and only they lose by it.
#[test]
fn a_full_list_delays_nobody_else() {
    let mut full = 0_u64;
    for seed in 0..SYSTEMS / 20 {
        let mut random = Random(seed);
        let period = random.within(20, 100);
        let budget = random.within(2, period / 2);
        let own = ServerModel::sporadic(span(budget), span(period));
        let below = random.within(period / 2, 3 * period);
        let work = random.within(1, below / 2);
        let below = ServerModel::sporadic(span(work), span(below));
        let servers = [own, below];
        let bound = server_responses(&servers, &CostTable::NONE)
            .last()
            .and_then(|it| it.response);
        let Some(bound) = bound.filter(|bound| *bound <= below.period) else {
            continue;
        };

        let described = Waking::at_any_time(span(budget), span(period));
        let room = Room::new(&[described], span(period), Some(1)).replenishments;
        let mut scheduler = Box::new(Scheduler::<4, 16>::new());
        let end = 20 * period;
        let mut queues = Vec::new();
        for (priority, it, room) in [(0, own, room), (1, below, PLENTY)] {
            let parameters = ServerParameters::sporadic(it.budget, it.period, priority);
            let server = scheduler.add_server(parameters.with_room(room)).unwrap();
            scheduler.add_thread(server).unwrap();
        }
        // Many short jobs and some endless ones, against one a period.
        let mut wild = VecDeque::new();
        let mut release = 0;
        while release < end {
            release += random.within(1, 8);
            let longest = if random.within(0, 9) == 0 {
                3 * budget
            } else {
                2
            };
            wild.push_back((release, random.within(1, longest)));
        }
        queues.push(wild);
        let periods = 0..end / below.period.as_nanos();
        queues.push(
            periods
                .map(|job| (job * below.period.as_nanos(), work))
                .collect(),
        );
        for (thread, queue) in (0..).zip(&queues) {
            scheduler.sleep_until(ThreadId::new(thread), at(queue[0].0), &mut Silent);
        }

        // The jobs below are done by their bound: the next one is asleep then.
        let released: Vec<_> = queues[1].iter().map(|job| job.0).collect();
        let mut at_bound = released.iter().map(|it| it + bound.as_nanos()).peekable();
        let mut done = 0;
        let mut now = 0;
        while now < end {
            let decision = scheduler.dispatch(at(now), &mut Silent);
            full += u64::from(scheduler.sporadic(ServerId::new(0)).unwrap().is_full());
            while at_bound.next_if(|bound| *bound <= now).is_some() {
                done += 1;
                let left = released.len() - queues[1].len();
                assert!(
                    left >= done,
                    "seed {seed} at {now}: {left} of {done} jobs are done"
                );
            }
            let timer = decision.timer.as_nanos().min(end);
            let Some(thread) = decision.thread else {
                now = timer;
                continue;
            };
            let queue: &mut VecDeque<(u64, u64)> = &mut queues[thread.index()];
            let work = &mut queue.front_mut().unwrap().1;
            let ran = (timer - now).min(*work);
            (now, *work) = (now + ran, *work - ran);
            if *work == 0 {
                queue.pop_front();
                let next = queue.front().copied();
                rest(&mut scheduler, thread, next.as_ref());
            }
        }
    }
    assert!(full > SYSTEMS / 20, "{full}");
}

/// 43/83 alone, threads 1 every 59 and 59 every 118: a gap is handed on from period to period.
#[test]
fn gaps_are_handed_on_while_a_server_waits_for_budget() {
    let thread = |work, period| Thread {
        work,
        period,
        jitter: 0,
        by_clock: false,
    };
    let case = Case {
        budget: 43,
        period: 83,
        threads: vec![thread(1, 59), thread(59, 118)],
        above: vec![],
        late_timers: 0,
    };
    let room = case.room().unwrap();
    let run = |seed| case.run(&mut Random(seed), room.replenishments);
    let longest = (0..2_000).map(run).max();
    println!("{longest:?} of {room:?}");
    assert!(room.is_enough && longest.unwrap() > 2 + 4, "{longest:?}");
}

/// In units of 50 us: 20 ms every 40 ms, ticks of 50 us every 500 us, and 16 ms every 40 ms from
/// 9 ms on.
#[test]
fn eighty_ticks_in_a_period_leave_45_entries() {
    let thread = |work, period| Thread {
        work,
        period,
        jitter: 0,
        by_clock: true,
    };
    let case = Case {
        budget: 400,
        period: 800,
        threads: vec![thread(1, 10), thread(320, 800)],
        above: vec![],
        late_timers: 0,
    };
    let jobs = |first: u64, it: &Thread| {
        let releases = (first..case.end()).step_by(it.period as usize);
        releases.map(|at| (at, it.work)).collect()
    };
    let jobs = vec![jobs(0, &case.threads[0]), jobs(180, &case.threads[1])];
    let room = case.room().unwrap().replenishments;
    assert_eq!(room, 2 + 80 + 1);
    let run = |room| case.run_jobs(&mut Random(0), room, jobs.clone());
    assert_eq!(run(room), 45);
    assert_eq!(run(45), 45);
    assert!(std::panic::catch_unwind(move || run(44)).is_err());
}
