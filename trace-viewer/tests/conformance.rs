//! Conformance: correct servers pass whatever their load, and each rule that is broken on
//! purpose is named. What is hand-made is held against the rules of a machine first.
mod common;

use common::{Events, Script, core, healthy, instant, repaired, simulated, sound, trace_of_system};
use tern_config::{
    ReplicaSet, Runs, Sandbox, Server, ServerKind, System, Thread, ThreadRef, Voting,
};
use tern_sched::{Observer, Posted, Scheduler, ServerId, ServerParameters, ThreadId};
use tern_trace::{Event, Kind, Record, SleepEnd, Trace};
use tern_units::{Duration, Instant};
use trace_viewer::verdict::conformance::{Conformance, Rule, ServerConformance};

fn rules(server: &ServerConformance) -> Vec<Rule> {
    server.violations.iter().map(|it| it.rule).collect()
}

/// What is found of the first server of a trace.
fn first(trace: &Trace) -> ServerConformance {
    let found = Conformance::of(&sound(trace));
    assert_eq!(found.not_judged, [""; 0]);
    found.servers.into_iter().next().expect("there is one")
}

#[test]
fn runs_in_which_nothing_is_wrong_conform() {
    for trace in [healthy(), repaired()] {
        let found = Conformance::of(&sound(&trace));
        assert_eq!(found.servers.len(), 7);
        assert_eq!(found.violations(), 0, "{:?}", found.servers);
        assert_eq!(found.verdict(), "every server kept its rules");
        let attitude = &found.servers[1];
        assert_eq!(
            (attitude.replenishments, attitude.charged_ns),
            (25, 25_000_000)
        );
        assert_eq!((attitude.ran_ns, attitude.overruns), (25_000_000, 0));
    }
}

// ---- One server that overruns in each of its periods, in a machine's trace ----

/// A system of one server with a program of its own.
fn alone(kind: ServerKind, budget: u64, period: u64) -> System {
    let program = Runs::Program {
        file: "load".to_string(),
        argument: 0,
        heap_pages: 1,
        stack_pages: 1,
        simulates: None,
    };
    let (budget, period) = (budget * 1_000, period * 1_000);
    let thread = Thread {
        name: "thread".to_string(),
        wcet: budget,
        period,
        deadline: period,
        runs: program,
        ..Thread::default()
    };
    let server = Server {
        name: "server".to_string(),
        kind,
        budget,
        period,
        deadline: period,
        threads: vec![thread],
        ..Server::default()
    };
    let sandbox = Sandbox {
        name: "alpha".to_string(),
        memory_bytes: 16 << 20,
        servers: vec![server],
        ..Sandbox::default()
    };
    System {
        sandboxes: vec![sandbox],
        ..System::default()
    }
}

/// A time that a server has the core, in microseconds: from, to, the budget that it is said to
/// get before, and what is charged afterwards, with the times at which it returns.
type Stretch<'a> = (i64, i64, i64, &'a [(i64, i64)]);

/// What a program's thread does that never sleeps.
fn stretches(system: &System, stretches: &[Stretch<'_>]) -> Trace {
    let mut script = Script::boot(&[0], 0);
    for (number, (from, to, applied, postings)) in stretches.iter().enumerate() {
        if number == 0 {
            script.release(*from, 0, 0);
        } else {
            let amount = Duration::from_micros(applied.unsigned_abs());
            script.add(*from, Event::ReplenishApplied { server: 0, amount });
        }
        script.switch(*from, Some(0));
        for (position, (amount, returns)) in postings.iter().enumerate() {
            match position + 1 == postings.len() {
                true => script.add(
                    *to,
                    Event::Exhaust {
                        server: 0,
                        amount: Duration::from_micros(amount.unsigned_abs()),
                        at: instant(*returns),
                    },
                ),
                false => script.posted(*to, 0, *amount, *returns),
            }
        }
        script.switch(*to, None);
    }
    trace_of_system(system, vec![core("alpha", script.0, &[])])
}

/// A server of 20 us in 1 ms that has 39 us of the core in every period. Whatever it says of that
/// is found: that it used no more than its budget, that it used nothing of the next, or the
/// truth, after which it had no right to the next.
#[test]
fn a_server_that_runs_nearly_twice_its_budget_in_every_period_is_found() {
    let system = alone(ServerKind::Sporadic, 20, 1_000);
    let at = |period: i64| period * 1_000;
    for (says, postings, broken) in [
        (
            "20 us a period",
            (|period| vec![(20, (period + 1) * 1_000)]) as fn(i64) -> Vec<(i64, i64)>,
            Rule::Uncharged,
        ),
        (
            "all of it, back together",
            |period| vec![(39, (period + 1) * 1_000)],
            Rule::Merged,
        ),
        (
            "all of it, the rest a period early",
            |period| vec![(20, (period + 1) * 1_000), (19, (period + 1) * 1_000 + 20)],
            Rule::Premature,
        ),
        (
            "the truth",
            |period| vec![(20, (period + 1) * 1_000), (19, (period + 2) * 1_000)],
            Rule::WithoutBudget,
        ),
    ] {
        let postings: Vec<Vec<(i64, i64)>> = (0..40).map(postings).collect();
        let runs: Vec<_> = (0..40)
            .zip(&postings)
            .map(|(period, postings)| (at(period), at(period) + 39, 20, &postings[..]))
            .collect();
        let found = first(&stretches(&system, &runs));
        let broken_rules = rules(&found);
        assert!(broken_rules.contains(&broken), "{says}: {broken_rules:?}");
        assert!(broken_rules.len() >= 39, "{says}: {broken_rules:?}");
    }
}

/// 2 ms in 10 ms, and 100 us too much in each of 40 periods: five in a hundred, of which one
/// hundredth is 4 ms.
#[test]
fn a_tenth_of_a_millisecond_too_much_in_every_period_is_found() {
    let system = alone(ServerKind::Sporadic, 2_000, 10_000);
    for too_much in [0, 1, 6, 100] {
        let postings: Vec<[(i64, i64); 1]> =
            (1..=40).map(|period| [(2_000, period * 10_000)]).collect();
        let runs: Vec<_> = (0..40)
            .zip(&postings)
            .map(|(period, postings)| {
                let start = period * 10_000;
                (start, start + 2_000 + too_much, 2_000, &postings[..])
            })
            .collect();
        let found = first(&stretches(&system, &runs));
        match too_much {
            0 => assert_eq!(rules(&found), []),
            _ => assert!(found.violations.len() >= 40, "{too_much} us: {found:?}"),
        }
        let expected = if too_much > 0 { 40 } else { 0 };
        assert_eq!(found.overruns, expected, "{too_much} us");
        assert!(found.overrun_ns >= too_much.unsigned_abs() * 1_000);
    }
}

/// The timer is late by 4 us once, which its costs (3 and 2 us) explain: charged to the next
/// chunk, that part comes back a period after that. By 6 us it is not explained.
#[test]
fn an_overrun_that_a_late_timer_explains_is_measured_and_charged_to_later_chunks() {
    let system = alone(ServerKind::Sporadic, 2_000, 10_000);
    for (late, broken) in [(4, vec![]), (6, vec![Rule::Overrun])] {
        let trace = stretches(
            &system,
            &[
                (0, 2_000 + late, 0, &[(2_000, 10_000)]),
                // The rest of the chunk at 10 ms, from `late` later on, as long as it lasts.
                (10_000 + late, 12_000, 2_000 - late, &[(2_000, 20_000)]),
                (20_000, 22_000, 2_000, &[(2_000, 30_000)]),
            ],
        );
        let found = first(&trace);
        assert_eq!(rules(&found), broken, "{late} us: {found:?}");
        assert_eq!(
            (found.overruns, found.overrun_ns),
            (1, late.unsigned_abs() * 1_000)
        );
        assert_eq!(found.ran_ns, found.charged_ns);
    }
}

#[test]
fn how_late_a_timer_was_is_said_and_not_judged_where_no_costs_are_carried() {
    let system = alone(ServerKind::Sporadic, 2_000, 10_000);
    let runs: [Stretch<'_>; 2] = [
        (0, 2_500, 0, &[(2_000, 10_000)]),
        (10_500, 12_000, 1_500, &[(2_000, 20_000)]),
    ];
    let mut trace = stretches(&system, &runs);
    assert_eq!(rules(&first(&trace)), [Rule::Overrun]);

    trace.promises.as_mut().unwrap().platform = None;
    let found = Conformance::of(&sound(&trace));
    assert_eq!(found.violations(), 0);
    let said = "how late the timer was, up to 500us: the trace carries no costs of its machine";
    assert_eq!(found.not_judged, [said]);
    assert_eq!(found.verdict(), "no rule that could be judged was broken");
}

/// An overrun that is charged, and comes back with the rest.
#[test]
fn an_overrun_that_returns_with_the_rest_is_early() {
    let system = alone(ServerKind::Sporadic, 2_000, 10_000);
    let honest: &[(i64, i64)] = &[(2_000, 10_000)];
    for (returns, broken) in [
        // What was used of the chunk at 10 ms returns at 20 ms.
        (20_000, vec![]),
        (20_004, vec![Rule::Late]),
        (19_996, vec![Rule::Premature]),
    ] {
        let rest = [(2_000, returns)];
        let trace = stretches(
            &system,
            &[(0, 2_004, 0, honest), (10_004, 12_000, 1_996, &rest)],
        );
        assert_eq!(rules(&first(&trace)), broken, "returns at {returns}");
    }
}

/// 3 ms used from 0 on; then 1 ms at 5 ms, woken for, and 6 ms at 7 ms: three chunks with times
/// of their own.
const THREE_CHUNKS: &str = r#"
    [system]
    name = "chunks"
    [[sandbox]]
    name = "alpha"
    core = 0
      [[sandbox.server]]
      name = "server"
      budget = "10ms"
      period = "40ms"
        [[sandbox.server.thread]]
        name = "thread"
        jobs = [
            { at = "0ms", work = "3ms" },
            { at = "5ms", work = "1ms" },
            { at = "7ms", work = "30ms" },
        ]
"#;

/// The same with its replenishments changed, in the order in which they are recorded.
fn changed(mut trace: Trace, mut change: impl FnMut(usize, &mut u64, &mut u64)) -> Trace {
    let records = &mut trace.cores[0].records;
    let mut number = 0;
    for place in 0..records.len() {
        if matches!(records[place].kind, Kind::Exhaust | Kind::ReplenishPosted) {
            let mut amount = records[place].argument.into();
            change(number, &mut amount, &mut records[place + 1].tsc);
            records[place].argument = amount as u32;
            number += 1;
        }
    }
    trace
}

#[test]
fn chunks_that_return_together_early_or_grown_are_found() {
    const MS: u64 = 1_000_000;
    let trace = simulated(THREE_CHUNKS, 130);
    let mut told = Vec::new();
    let same = changed(trace.clone(), |_, amount, returns| {
        told.push((*amount / MS, *returns / MS))
    });
    // 3 ms from 0, 1 ms from 5, the other 6 from 7 on; and so in every period.
    assert_eq!(
        told,
        [
            (3, 40),
            (1, 45),
            (6, 47),
            (3, 80),
            (1, 85),
            (6, 87),
            (3, 120),
            (1, 125),
            (6, 127),
            (3, 160),
            (1, 165)
        ]
    );
    assert_eq!(rules(&first(&same)), []);

    let with =
        |change: fn(usize, &mut u64, &mut u64)| rules(&first(&changed(trace.clone(), change)));
    let merged = with(|number, amount, returns| match number {
        3 => (*amount, *returns) = (4 * MS, 80 * MS),
        4 => (*amount, *returns) = (6 * MS, 87 * MS),
        _ => {}
    });
    assert_eq!(merged[0], Rule::Amplified, "{merged:?}");
    let early = with(|number, _, returns| *returns -= u64::from(number == 2));
    assert_eq!(early, [Rule::Premature]);
    let grown = with(|number, amount, _| *amount += u64::from(number == 2));
    assert_eq!(grown, [Rule::Amplified]);
    let shrunk = with(|number, amount, _| *amount -= u64::from(number == 2));
    assert!(shrunk.contains(&Rule::Uncharged), "{shrunk:?}");
}

/// A server below, that idles from 1 to 9 ms: to return at 20 ms what it uses then is the first
/// defect of the POSIX server.
#[test]
fn budget_that_waited_unused_is_active_only_when_work_comes() {
    let text = |second: &str| THREE_CHUNKS.replace(r#"{ at = "5ms", work = "1ms" },"#, second);
    let trace = simulated(&text(r#"{ at = "6ms", work = "1ms" },"#), 30);
    assert_eq!(rules(&first(&trace)), []);
    // The second posting is of the job at 6 ms: 1 ms, at 46.
    let premature = changed(trace, |number, _, returns| {
        if number == 1 {
            assert_eq!(*returns, 46_000_000);
            *returns = 43_000_000;
        }
    });
    let found = first(&premature);
    assert_eq!(rules(&found)[0], Rule::Premature);
    assert!(
        found.violations[0].text.contains("3ms too early"),
        "{found:?}"
    );
}

/// A server that has budget of another: created at boot, or the other's.
#[test]
fn budget_that_a_server_never_had_is_found() {
    let text = |first: &str, second: &str| {
        format!(
            r#"
            [system]
            name = "two"
            [[sandbox]]
            name = "alpha"
            core = 0
              [[sandbox.server]]
              name = "first"
              budget = "{first}"
              period = "20ms"
              [[sandbox.server]]
              name = "second"
              budget = "{second}"
              period = "30ms"
            "#
        )
    };
    let claimed = |budgets: (&str, &str)| {
        let mut trace = simulated(&text("4ms", "6ms"), 200);
        let described = simulated(&text(budgets.0, budgets.1), 1);
        // The releases and sizes of jobs are the same: only what each server may use differs.
        trace.system = described.system;
        trace.promises = described.promises;
        Conformance::of(&sound(&trace)).servers
    };
    let kept = claimed(("4ms", "6ms"));
    assert!(
        kept.iter().all(|server| server.violations.is_empty()),
        "{kept:?}"
    );
    let created = claimed(("4ms", "5999us"));
    assert!(
        created[1].violations.len() > 3 && created[0].violations.is_empty(),
        "{created:?}"
    );
    // The first uses less than it might, which is no fault; the second more.
    let swapped = claimed(("6ms", "4ms"));
    assert!(swapped[1].violations.len() > 3, "{swapped:?}");
}

/// U = 4/57: an overrun of 3 ms moves the next budget by 3 · 57 / 4 ms.
#[test]
fn an_overrun_of_an_io_server_moves_its_budget_by_its_part_of_the_period() {
    let system = alone(ServerKind::Io, 4_000, 57_000);
    for (returns, broken) in [
        (57_000 + 42_750, vec![Rule::Overrun]),
        (57_000 + 42_749, vec![Rule::Overrun, Rule::Premature]),
        (57_000 + 42_751, vec![Rule::Overrun, Rule::Late]),
        (57_000, vec![Rule::Overrun, Rule::Premature]),
    ] {
        let found = first(&stretches(&system, &[(0, 7_000, 0, &[(7_000, returns)])]));
        assert_eq!(rules(&found), broken, "returns at {returns}");
        assert_eq!(found.overrun_ns, 3_000_000);
    }
    // It gets the core before that.
    let found = first(&stretches(
        &system,
        &[
            (0, 4_000, 0, &[(4_000, 57_000)]),
            (56_000, 56_001, 4_000, &[]),
        ],
    ));
    assert_eq!(rules(&found), [Rule::Applied, Rule::WithoutBudget]);
}

/// A server of higher priority that has work and budget goes first.
#[test]
fn a_server_that_is_passed_over_is_found() {
    let text = r#"
        [system]
        name = "two"
        [[sandbox]]
        name = "alpha"
        core = 0
          [[sandbox.server]]
          name = "first"
          budget = "4ms"
          period = "20ms"
          [[sandbox.server]]
          name = "second"
          budget = "6ms"
          period = "30ms"
    "#;
    let mut trace = simulated(text, 100);
    assert_eq!(Conformance::of(&sound(&trace)).violations(), 0);
    // Where both are released the second is said to have gone first.
    let mut system: System = postcard::from_bytes(&trace.system).unwrap();
    system.sandboxes[0].servers[0].priority = 1;
    system.sandboxes[0].servers[1].priority = 0;
    trace.system = postcard::to_allocvec(&system).unwrap();
    let found = Conformance::of(&sound(&trace));
    let second = &found.servers[1];
    assert_eq!(rules(second)[0], Rule::PassedOver, "{found:?}");
    assert_eq!(second.violations[0].at_ns, 0);
}

// ---- The kernel's own scheduler, under random work, late timers and random sleeps ----

/// Two servers, each with a replica, which may sleep until any instant: 10 ms in 50, below
/// 2 ms in 20.
fn pair(upper: ServerKind) -> System {
    let server = |budget: u64, period: u64, priority, kind, set| Server {
        name: format!("server-{priority}"),
        kind,
        budget: budget * 1_000_000,
        period: period * 1_000_000,
        deadline: period * 1_000_000,
        priority,
        threads: vec![Thread {
            name: format!("replica-{set}"),
            wcet: 1_000_000,
            period: 1_000_000_000_000,
            deadline: 1_000_000_000_000,
            runs: Runs::Replica(set),
            ..Thread::default()
        }],
        ..Server::default()
    };
    let set = |server| ReplicaSet {
        voting: Voting::Unprotected,
        replicas: vec![ThreadRef {
            sandbox: 0,
            server,
            thread: 0,
        }],
        ..ReplicaSet::default()
    };
    System {
        sandboxes: vec![Sandbox {
            name: "alpha".to_string(),
            memory_bytes: 16 << 20,
            servers: vec![
                server(10, 50, 1, ServerKind::Sporadic, 0),
                server(2, 20, 0, upper, 1),
            ],
            ..Sandbox::default()
        }],
        replica_sets: vec![set(0), set(1)],
        ..System::default()
    }
}

/// Records like the kernel, at the scheduler's own times.
struct Recorder {
    now: i64,
    events: Events,
}

impl Recorder {
    fn record(&mut self, event: Event) {
        self.events.push((self.now, event));
    }
}

impl Observer for Recorder {
    fn switched(&mut self, thread: Option<ThreadId>) {
        let thread = thread.map(|thread| thread.index() as u16);
        self.record(Event::Switch { thread });
    }

    fn exhausted(&mut self, server: ServerId, posted: Posted) {
        let server = server.index() as u16;
        let (amount, at) = (posted.amount, posted.time);
        self.record(Event::Exhaust { server, amount, at });
    }

    fn replenish_posted(&mut self, server: ServerId, posted: Posted) {
        let server = server.index() as u16;
        let (amount, at) = (posted.amount, posted.time);
        self.record(Event::ReplenishPosted { server, amount, at });
    }

    fn replenish_applied(&mut self, server: ServerId, amount: Duration) {
        let server = server.index() as u16;
        self.record(Event::ReplenishApplied { server, amount });
    }
}

/// What the real scheduler does.
fn history(upper: ServerKind, seed: u64) -> Trace {
    let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut pick = |limit: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % limit
    };
    let at = |micros: u64| Instant::from_nanos(micros * 1_000);
    let mut scheduler: Scheduler<4, 4> = Scheduler::new();
    for (budget, period, priority) in [(10, 50, 1), (2, 20, 0)] {
        let (budget, period) = (Duration::from_millis(budget), Duration::from_millis(period));
        let parameters = match upper {
            ServerKind::Io if priority == 0 => ServerParameters::io(budget, period, priority),
            _ => ServerParameters::sporadic(budget, period, priority),
        };
        let server = scheduler
            .add_server(parameters)
            .expect("there is room for two servers");
        let thread = scheduler.add_thread(server).expect("and for their threads");
        scheduler.wake(thread, Instant::EPOCH);
    }
    let mut recorder = Recorder {
        now: 0,
        events: Script::boot(&[0, 1], 0).0,
    };
    let mut now = 0;
    while now < 400_000 {
        recorder.now = now as i64;
        let next = scheduler.dispatch(at(now), &mut recorder);
        let timer = next
            .timer
            .as_nanos()
            .div_ceil(1_000)
            .min(now + 30_000)
            .max(now + 1);
        let lateness = if pick(4) == 0 { pick(400) } else { 0 };
        match next.thread.filter(|_| pick(3) == 0) {
            Some(thread) => {
                now += 1 + pick(timer - now);
                recorder.now = now as i64;
                let until = now + 1 + pick(40_000);
                recorder.record(Event::Block {
                    thread: thread.index() as u16,
                    until: Some(SleepEnd::of(at(until))),
                });
                scheduler.sleep_until(thread, at(until), &mut recorder);
            }
            None => now = timer + lateness,
        }
    }
    let mut trace = trace_of_system(&pair(upper), vec![core("alpha", recorder.events, &[])]);
    // Timers are later here than any costs explain.
    trace.promises.as_mut().unwrap().platform = None;
    trace
}

#[test]
fn the_kernels_own_scheduler_conforms_whatever_the_load() {
    let mut overruns = 0;
    for kind in [ServerKind::Sporadic, ServerKind::Io] {
        for seed in 1..=400 {
            let trace = history(kind, seed);
            let found = Conformance::of(&sound(&trace));
            assert_eq!(found.violations(), 0, "seed {seed}: {:#?}", found.servers);
            for server in &found.servers {
                assert!(server.checked && server.replenishments > 0, "seed {seed}");
                overruns += server.overruns;
            }
        }
    }
    assert!(overruns > 1_000, "{overruns} overruns");
}

/// Each replenishment of random schedules, moved, grown or shrunk by a nanosecond, left out, or
/// posted twice: none passes.
#[test]
fn every_replenishment_that_is_changed_is_noticed() {
    let mut counts = [0_u32; 6];
    for kind in [ServerKind::Sporadic, ServerKind::Io] {
        for seed in 1..=10 {
            let good = history(kind, seed);
            let records = &good.cores[0].records;
            let postings = (0..records.len())
                .filter(|&at| matches!(records[at].kind, Kind::Exhaust | Kind::ReplenishPosted));
            for place in postings {
                for (way, count) in counts.iter_mut().enumerate() {
                    let mut trace = good.clone();
                    let records = &mut trace.cores[0].records;
                    match way {
                        0 => records[place + 1].tsc -= 1,
                        1 => records[place + 1].tsc += 1,
                        2 => records[place].argument += 1,
                        3 => records[place].argument -= 1,
                        4 => drop(records.drain(place..place + 2)),
                        _ => {
                            let pair: [Record; 2] = [records[place], records[place + 1]];
                            records.splice(place..place, pair);
                        }
                    }
                    let kinds = records.iter().map(|record| record.kind as usize);
                    let mut counters = vec![0; Kind::COUNTERS];
                    kinds.for_each(|kind| counters[kind] += 1);
                    trace.cores[0].counters = counters;
                    let is_noticed = match trace_viewer::read::SoundTrace::of(&trace) {
                        Ok(sound) => Conformance::of(&sound).violations() > 0,
                        Err(_) => true,
                    };
                    assert!(is_noticed, "seed {seed}, record {place}, way {way}");
                    *count += 1;
                }
            }
        }
    }
    assert!(counts.iter().all(|count| *count > 500), "{counts:?}");
}
