//! Schedules that can be worked out by hand, and what holds for every schedule.
use proptest::prelude::*;
use tern_config::{Description, Job, Sandbox, Server, System, Thread};
use tern_sim::{JobHistory, Simulation, SimulationError, simulate};
use tern_units::Instant;

const MS: u64 = 1_000_000;

fn run(text: &str, until_ms: u64) -> Simulation {
    let text = format!("[system]\nname = \"x\"\n[[sandbox]]\nname = \"s\"\ncore = 0\n{text}");
    match Description::parse("x.toml", &text) {
        Ok(description) => {
            simulate(&description.system, Instant::from_nanos(until_ms * MS)).unwrap()
        }
        Err(problems) => panic!("{problems}"),
    }
}

/// Runs of a server in milliseconds.
fn runs(simulation: &Simulation, server: usize) -> Vec<(u64, u64)> {
    let runs = simulation.servers[server].runs.iter();
    runs.map(|(from, to)| (from.as_nanos() / MS, to.as_nanos() / MS))
        .collect()
}

/// Replenishments of a server in milliseconds: time, amount.
fn replenishments(simulation: &Simulation, server: usize) -> Vec<(u64, u64)> {
    let posted = simulation.servers[server].replenishments.iter();
    posted
        .map(|(at, amount)| (at.as_nanos() / MS, amount.as_nanos() / MS))
        .collect()
}

/// Jobs in milliseconds: release, finish.
fn jobs(simulation: &Simulation) -> Vec<(u64, Option<u64>)> {
    let ms = |instant: Instant| instant.as_nanos() / MS;
    simulation
        .jobs
        .iter()
        .map(|job| (ms(job.release), job.finish.map(ms)))
        .collect()
}

fn server(name: &str, budget: u64, period: u64, rest: &str) -> String {
    format!(
        "[[sandbox.server]]\nname = \"{name}\"\nbudget = \"{budget}ms\"\nperiod = \"{period}ms\"\n{rest}"
    )
}

fn thread(rest: &str) -> String {
    format!("[[sandbox.server.thread]]\nname = \"t\"\n{rest}\n")
}

#[test]
fn a_server_that_blocks_and_comes_back_gets_its_budget_in_the_same_chunks() {
    // Stanovich et al. 2010: [0,3), blocked, and endless work from 6 on.
    let work =
        thread("jobs = [{ at = \"0ms\", work = \"3ms\" }, { at = \"6ms\", work = \"500ms\" }]");
    let simulation = run(&server("a", 10, 40, &work), 90);
    assert_eq!(
        runs(&simulation, 0),
        [(0, 3), (6, 13), (40, 43), (46, 53), (80, 83), (86, 90)]
    );
    assert_eq!(
        replenishments(&simulation, 0),
        [(40, 3), (46, 7), (80, 3), (86, 7), (120, 3)],
        "what runs at the end is not charged yet"
    );
    assert_eq!(jobs(&simulation), [(0, Some(3)), (6, None)]);
}

#[test]
fn aperiodic_requests_are_served_at_once_between_a_higher_and_a_lower_server() {
    // Sprunt, Sha, Lehoczky 1989: C = 5, T = 10 between (1, 5) and (4, 15).
    let work =
        thread("jobs = [{ at = \"4ms\", work = \"2ms\" }, { at = \"8ms\", work = \"2ms\" }]");
    let text = server("high", 1, 5, "") + &server("ss", 5, 10, &work) + &server("low", 4, 15, "");
    let simulation = run(&text, 20);
    assert_eq!(
        jobs(&simulation),
        [(4, Some(7)), (8, Some(10))],
        "responses 3 and 2"
    );
    assert_eq!(runs(&simulation, 0), [(0, 1), (5, 6), (10, 11), (15, 16)]);
    assert_eq!(runs(&simulation, 1), [(4, 5), (6, 7), (8, 10)]);
    assert_eq!(runs(&simulation, 2), [(1, 4), (7, 8), (16, 20)]);
    assert_eq!(
        replenishments(&simulation, 1),
        [(14, 2), (18, 2)],
        "what is consumed before and after a preemption returns as one"
    );
}

#[test]
fn servers_without_threads_use_their_whole_budget_every_period() {
    // The first miss of (10,30), (10,40), (12,50): response 52 at the critical instant.
    let text = server("a", 10, 30, "") + &server("b", 10, 40, "") + &server("c", 12, 50, "");
    let simulation = run(&text, 60);
    assert_eq!(runs(&simulation, 0), [(0, 10), (30, 40)]);
    assert_eq!(runs(&simulation, 1), [(10, 20), (40, 50)]);
    assert_eq!(runs(&simulation, 2), [(20, 30), (50, 60)]);
    assert_eq!(simulation.jobs, []);
}

#[test]
fn a_job_longer_than_its_budget_goes_on_in_the_next_period() {
    let work = thread("wcet = \"5ms\"\nperiod = \"40ms\"\noffset = \"3ms\"");
    let simulation = run(&server("a", 2, 10, &work), 60);
    assert_eq!(
        runs(&simulation, 0),
        [(3, 5), (13, 15), (23, 24), (43, 45), (53, 55)]
    );
    assert_eq!(jobs(&simulation), [(3, Some(24)), (43, None)]);
    assert!(!simulation.jobs[0].missed(Instant::from_nanos(60 * MS)));
}

#[test]
fn threads_of_a_server_run_in_the_order_of_the_file() {
    let text = server(
        "a",
        10,
        10,
        &(thread("jobs = [{ at = \"2ms\", work = \"2ms\" }]")
            + &thread("wcet = \"4ms\"\nperiod = \"9ms\"").replace("\"t\"", "\"u\"")),
    );
    let simulation = run(&text, 9);
    assert_eq!(jobs(&simulation), [(2, Some(4)), (0, Some(6))]);
    assert_eq!(runs(&simulation, 0), [(0, 6)], "adjacent runs are one");
}

#[test]
fn overload_is_simulated_and_its_misses_are_seen() {
    let work = thread("wcet = \"12ms\"\nperiod = \"10ms\"");
    let simulation = run(&(server("a", 10, 10, &work) + &server("b", 5, 20, "")), 40);
    assert_eq!(
        jobs(&simulation),
        [(0, Some(12)), (10, Some(24)), (20, Some(36)), (30, None)]
    );
    let missed: Vec<bool> = simulation
        .jobs
        .iter()
        .map(|job| job.missed(Instant::from_nanos(40 * MS)))
        .collect();
    assert_eq!(
        missed,
        [true, true, true, false],
        "the last is due at the end itself"
    );
    assert_eq!(runs(&simulation, 1), []);
}

#[test]
fn the_end_is_exclusive_for_releases_and_inclusive_for_completions() {
    let work = thread("wcet = \"5ms\"\nperiod = \"10ms\"");
    for (until, expected) in [
        (0, vec![]),
        (4, vec![(0, None)]),
        (5, vec![(0, Some(5))]),
        (10, vec![(0, Some(5))]),
        (11, vec![(0, Some(5)), (10, None)]),
    ] {
        assert_eq!(
            jobs(&run(&server("a", 5, 10, &work), until)),
            expected,
            "until {until} ms"
        );
    }
}

#[test]
fn an_io_server_keeps_to_its_utilization() {
    let endless = thread("jobs = [{ at = \"0ms\", work = \"500ms\" }]");
    let io = server("io", 2, 10, &format!("kind = \"io\"\n{endless}"));
    let simulation = run(&io, 100);
    let total: u64 = runs(&simulation, 0)
        .iter()
        .map(|(from, to)| to - from)
        .sum();
    assert_eq!(total, 20);
}

#[test]
fn sandboxes_do_not_disturb_one_another() {
    let alone = run(&server("a", 2, 5, ""), 20);
    let text =
        server("a", 2, 5, "") + "[[sandbox]]\nname = \"t\"\ncore = 1\n" + &server("b", 9, 10, "");
    let both = run(&text, 20);
    assert_eq!(both.servers[0], alone.servers[0]);
    assert_eq!((both.servers[1].sandbox, both.servers[1].server), (1, 0));
    assert_eq!(runs(&both, 1), [(0, 9), (10, 19)]);
}

/// 80 jobs of a thread in each period of its server leave a list of 45 entries. With room for
/// 16, budget was delayed again and again: big took 60.8 ms, and a tick 20.55 ms.
#[test]
fn a_server_has_room_for_what_its_threads_leave_of_its_budget() {
    let text = "[[sandbox.server]]\nname = \"a\"\nbudget = \"20ms\"\nperiod = \"40ms\"\n\
        [[sandbox.server.thread]]\nname = \"tick\"\nwcet = \"50us\"\nperiod = \"500us\"\n\
        [[sandbox.server.thread]]\nname = \"big\"\nwcet = \"16ms\"\nperiod = \"40ms\"\n\
        offset = \"9ms\"\n";
    let simulation = run(text, 2_000);
    let longest = |thread: usize| {
        let jobs = simulation.jobs.iter().filter(|job| job.thread == thread);
        jobs.filter_map(JobHistory::response).max().unwrap()
    };
    assert_eq!(longest(0).as_nanos(), 50_000);
    assert_eq!(longest(1).as_nanos(), 17_800_000);
}

#[test]
fn what_is_too_large_or_too_long_is_refused_by_a_line() {
    let servers = |count: usize| System {
        sandboxes: vec![Sandbox {
            name: "s".into(),
            servers: (0..count)
                .map(|priority| Server {
                    budget: 1,
                    period: 1_000_000,
                    priority: priority as u32,
                    ..Server::default()
                })
                .collect(),
            ..Sandbox::default()
        }],
        ..System::default()
    };
    let end = Instant::from_nanos(2_000_000);
    assert_eq!(simulate(&servers(1024), end).unwrap().servers.len(), 1024);
    assert!(matches!(
        simulate(&servers(1025), end),
        Err(SimulationError::TooLarge { .. })
    ));
    let long = simulate(&servers(1), Instant::from_nanos(u64::MAX)).unwrap_err();
    assert_eq!(
        long.to_string(),
        "18446744073710 jobs are too many to simulate, at most 5000000: choose an earlier end"
    );
}

/// Systems of one sandbox with up to six servers, schedulable or not.
fn systems() -> impl Strategy<Value = System> {
    let thread = (
        1..8_u64,
        1..30_u64,
        0..10_u64,
        proptest::collection::vec((0..60_u64, 1..6_u64), 0..3),
    );
    let thread = thread.prop_map(|(wcet, period, offset, mut jobs)| {
        jobs.sort_unstable();
        let jobs = jobs
            .into_iter()
            .map(|(at, work)| Job { at, work })
            .collect();
        Thread {
            wcet,
            period,
            deadline: period,
            offset,
            jobs,
            ..Thread::default()
        }
    });
    let server = (1..6_u64, 0..20_u64, proptest::collection::vec(thread, 0..3));
    proptest::collection::vec(server, 1..6).prop_map(|servers| {
        let servers = servers.into_iter().enumerate();
        let servers = servers.map(|(priority, (budget, more, threads))| Server {
            budget,
            period: budget + more,
            deadline: budget + more,
            priority: priority as u32,
            threads,
            ..Server::default()
        });
        let sandbox = Sandbox {
            servers: servers.collect(),
            ..Sandbox::default()
        };
        System {
            sandboxes: vec![sandbox],
            ..System::default()
        }
    })
}

proptest! {
    #[test]
    fn a_core_runs_one_server_at_a_time_and_jobs_get_what_they_asked_for(system in systems()) {
        let end = Instant::from_nanos(100);
        let simulation = simulate(&system, end).unwrap();
        prop_assert_eq!(&simulate(&system, end).unwrap(), &simulation, "deterministic");

        let mut all: Vec<_> = simulation.servers.iter().flat_map(|it| it.runs.clone()).collect();
        all.sort_unstable();
        prop_assert!(all.iter().all(|(from, to)| from < to && *to <= end));
        prop_assert!(all.windows(2).all(|pair| pair[0].1 <= pair[1].0), "no two at once");

        for (history, server) in simulation.servers.iter().zip(&system.sandboxes[0].servers) {
            let ran: u64 = history.runs.iter().map(|(from, to)| to.as_nanos() - from.as_nanos()).sum();
            // At most C in the first period, and C in each period that begins after.
            prop_assert!(ran <= server.budget * 100_u64.div_ceil(server.period), "{history:?}");
            let posted: u64 = history.replenishments.iter().map(|(_, it)| it.as_nanos()).sum();
            prop_assert!(posted <= ran);
            prop_assert!(history.runs.windows(2).all(|pair| pair[0].1 < pair[1].0), "merged");
            if server.threads.is_empty() {
                continue;
            }
            let jobs = simulation.jobs.iter().filter(|job| job.server == history.server);
            let asked: u64 = jobs
                .filter(|job| job.finish.is_some())
                .map(|job| {
                    let thread = &server.threads[job.thread];
                    let explicit = thread.jobs.iter().filter(|it| it.at == job.release.as_nanos());
                    explicit.map(|it| it.work).min().unwrap_or(thread.wcet)
                })
                .sum();
            prop_assert!(asked <= ran);
        }
        for job in &simulation.jobs {
            prop_assert!(job.release < end);
            prop_assert!(job.finish.is_none_or(|finish| finish > job.release));
        }
    }
}
