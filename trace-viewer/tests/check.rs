//! `tern check`: its verdicts, numbers, advice and exit codes.
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use proptest::prelude::*;
use tern_config::{Description, Sandbox, Server, ServerKind, System, Thread};
use tern_sched::analysis::CostTable;
use tern_units::{Duration, Instant};
use trace_viewer::check::{check, check_and_advise};

const MS: u64 = 1_000_000;

/// A file that is gone when the test is over.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("tern-check-{}-{name}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn tern(arguments: &[&str], file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tern"))
        .args(arguments)
        .arg(file)
        .output()
        .unwrap()
}

fn head() -> String {
    "[system]\nname = \"x\"\n[[sandbox]]\nname = \"s\"\ncore = 0\n".to_owned()
}

fn server(name: &str, budget: &str, period: &str, rest: &str) -> String {
    format!(
        "[[sandbox.server]]\nname = \"{name}\"\nbudget = \"{budget}\"\nperiod = \"{period}\"\n{rest}\n"
    )
}

fn thread(name: &str, rest: &str) -> String {
    format!("[[sandbox.server.thread]]\nname = \"{name}\"\n{rest}\n")
}

/// The system of SCHEDULING's first example, whose third server is 2 ms late.
fn late() -> String {
    head()
        + &server("a", "10ms", "30ms", "")
        + &server("b", "10ms", "40ms", "")
        + &server("c", "12ms", "50ms", "")
}

fn system(text: &str) -> System {
    Description::parse("x.toml", text)
        .unwrap_or_else(|problems| panic!("{problems}"))
        .system
}

/// Responses of the servers in milliseconds.
fn responses(text: &str) -> Vec<Option<u64>> {
    let report = check(&system(text), &CostTable::NONE);
    let servers = report.sandboxes.iter().flat_map(|sandbox| &sandbox.servers);
    servers
        .map(|server| server.response.map(|it| it.as_nanos() / MS))
        .collect()
}

#[test]
fn known_sets_have_their_known_responses() {
    let set = |servers: &[(u64, u64, u64)]| {
        let servers = servers
            .iter()
            .enumerate()
            .map(|(index, (budget, period, deadline))| {
                server(
                    &index.to_string(),
                    &format!("{budget}ms"),
                    &format!("{period}ms"),
                    &format!("deadline = \"{deadline}ms\"\npriority = {}", index + 1),
                )
            });
        responses(&(head() + &servers.collect::<String>()))
    };
    for (servers, expected) in [
        (
            vec![(10, 30, 30), (10, 40, 40), (12, 50, 50)],
            vec![10, 20, 52],
        ),
        (vec![(3, 7, 7), (3, 12, 12), (5, 20, 20)], vec![3, 6, 20]),
        (
            vec![(5, 20, 20), (10, 40, 40), (40, 80, 80)],
            vec![5, 15, 80],
        ),
        (
            vec![(1, 4, 3), (1, 5, 4), (2, 6, 5), (1, 11, 10)],
            vec![1, 2, 4, 10],
        ),
    ] {
        let expected: Vec<_> = expected.into_iter().map(Some).collect();
        assert_eq!(set(&servers), expected, "{servers:?}");
    }
    assert_eq!(
        set(&[(10, 20, 20), (30, 40, 40)]),
        [Some(10), None],
        "overload"
    );
}

#[test]
fn json_has_the_documented_form() {
    let text = late()
        + &server(
            "d",
            "1ms",
            "100ms",
            &thread("t", "wcet = \"2ms\"\nperiod = \"300ms\"\ndeadline = \"1s\""),
        );
    let file = File::new("json", &text);
    let output = tern(&["check", "--json"], &file.0);
    assert_eq!(output.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let server = |name: &str, response: u64, deadline: u64| {
        serde_json::json!({
            "sandbox": "s", "name": name, "response_ns": response * MS,
            "deadline_ns": deadline * MS, "schedulable": response <= deadline,
        })
    };
    assert_eq!(json["schedulable"], false);
    let servers = [
        server("a", 10, 30),
        server("b", 20, 40),
        server("c", 52, 50),
        server("d", 75, 100),
    ];
    assert_eq!(json["servers"], serde_json::json!(servers));
    assert_eq!(
        json["threads"],
        serde_json::json!([{
            "sandbox": "s", "server": "d", "name": "t", "response_ns": 274 * MS,
            "bound": "davis-burns", "deadline_ns": 1000 * MS, "schedulable": true,
        }])
    );
    assert_eq!(json["recovery"], serde_json::json!([]));
}

#[test]
fn exit_codes_tell_what_came_of_it() {
    let good = File::new("good", &(head() + &server("a", "1ms", "10ms", "")));
    let bad = File::new("bad", &late());
    let invalid = File::new("invalid", &(head() + &server("a", "20ms", "10ms", "")));
    let platform = File::new(
        "platform",
        &late().replacen("name = \"x\"", "name = \"x\"\nplatform = \"nowhere\"", 1),
    );
    for (arguments, file, status) in [
        (vec!["check"], good.0.as_path(), 0),
        (vec!["check"], &bad.0, 1),
        (vec!["check", "--json"], &bad.0, 1),
        (vec!["check"], &invalid.0, 65),
        (vec!["check", "--json"], &invalid.0, 65),
        (vec!["check"], &platform.0, 65),
        (vec!["check"], Path::new("no-such-file.toml"), 65),
        (vec!["check", "--jason"], &good.0, 64),
    ] {
        let output = tern(&arguments, file);
        assert_eq!(
            output.status.code(),
            Some(status),
            "{arguments:?} {}",
            file.display()
        );
        assert_eq!(
            output.stdout.is_empty(),
            status > 1,
            "{arguments:?} {}",
            file.display()
        );
    }
    let problems = String::from_utf8(tern(&["check"], &invalid.0).stderr).unwrap();
    let expected = format!(
        "{}:8: sandbox.s.server.a.budget: 20ms is above the period, 10ms\n",
        invalid.0.display()
    );
    assert_eq!(problems, expected);
}

#[test]
fn people_get_a_table_with_the_reason_and_the_smallest_change() {
    let report = check_and_advise(&system(&late()), &CostTable::NONE).to_string();
    assert_eq!(
        report,
        "x: NOT SCHEDULABLE (platform none)\n\
         \n\
         sandbox s, core 0\n  \
           server  work  period  response  deadline  slack        by\n  \
           a       10ms    30ms      10ms      30ms   20ms\n  \
           b       10ms    40ms      20ms      40ms   20ms\n  \
           c       12ms    50ms      52ms      50ms   -2ms  LATE\n  \
           c: its budget is delivered after 52ms, 2ms beyond the deadline\n    \
             smallest change that helps: lower the budget of \"b\" from 10ms to 9ms, or raise its \
             deadline from 50ms to 52ms\n"
    );
}

/// The advice on each failure of a text.
fn advice(text: &str) -> Vec<String> {
    let report = check_and_advise(&system(text), &CostTable::NONE);
    let servers = report.sandboxes.iter().flat_map(|sandbox| &sandbox.servers);
    let failures = servers.flat_map(|server| {
        server
            .failure
            .iter()
            .chain(server.threads.iter().filter_map(|it| it.failure.as_ref()))
    });
    failures
        .map(|it| it.change.clone().unwrap_or_default())
        .collect()
}

#[test]
fn the_change_that_is_advised_helps_and_a_smaller_one_does_not() {
    let schedulable = |text: &str| check(&system(text), &CostTable::NONE).schedulable();
    let server_b = |budget| {
        late().replacen(
            "\"10ms\"\nperiod = \"40ms\"",
            &format!("\"{budget}\"\nperiod = \"40ms\""),
            1,
        )
    };
    assert!(schedulable(&server_b("9ms")));
    assert!(!schedulable(&server_b("9000001ns")));

    let job = |budget: &str, wcet: &str| {
        let work = thread(
            "t",
            &format!("wcet = \"{wcet}\"\nperiod = \"100ms\"\ndeadline = \"20ms\""),
        );
        head() + &server("a", budget, "10ms", &work) + &server("b", "6ms", "20ms", "")
    };
    assert_eq!(
        advice(&job("2ms", "5ms")),
        [
            "raise the budget of server \"a\" from 2ms to 2.5ms, or raise its deadline from 20ms to 29ms"
        ]
    );
    assert!(schedulable(&job("2.5ms", "5ms")));
    assert!(!schedulable(&job("2499999ns", "5ms")));

    // More budget for "a" would make "b" late: the job has to become shorter.
    let tight = |wcet: &str| job("2ms", wcet).replacen("\"6ms\"", "\"15.5ms\"", 1);
    assert_eq!(
        advice(&tight("5ms")),
        ["lower its wcet from 5ms to 4ms, or raise its deadline from 20ms to 29ms"]
    );
    assert!(schedulable(&tight("4ms")));
}

#[test]
fn a_lone_thread_no_faster_than_its_server_is_in_step_with_it() {
    let work = thread("t", "wcet = \"3ms\"\nperiod = \"20ms\"\ndeadline = \"6ms\"");
    let text = head() + &server("a", "2ms", "10ms", "") + &server("b", "4ms", "20ms", &work);
    let in_step = |text: &str| {
        let report = check(&system(text), &CostTable::NONE);
        let thread = &report.sandboxes[0].servers[1].threads[0];
        (thread.in_step, thread.response.map(|it| it.as_nanos() / MS))
    };
    assert_eq!(
        in_step(&text),
        (true, Some(5)),
        "3 ms and one preemption of 2 ms"
    );
    // Not where a second thread uses the budget, jobs come faster, or are longer than it.
    let two = text.clone() + &thread("u", "wcet = \"1us\"\nperiod = \"90ms\"");
    assert!(!in_step(&two).0);
    assert!(
        !in_step(&text.replacen(
            "\"3ms\"\nperiod = \"20ms\"",
            "\"3ms\"\nperiod = \"19ms\"",
            1
        ))
        .0
    );
    assert!(!in_step(&text.replacen("\"3ms\"", "\"5ms\"", 1)).0);
}

#[test]
fn the_costs_of_a_platform_count() {
    let text = head() + &server("a", "1ms", "10ms", "") + &server("b", "2ms", "20ms", "");
    let costs = CostTable {
        context_switch: Duration::from_micros(10),
        longest_non_preemptible: Duration::from_micros(50),
        ..CostTable::NONE
    };
    let report = check(&system(&text), &costs);
    let responses: Vec<_> = report.sandboxes[0]
        .servers
        .iter()
        .map(|it| it.response.unwrap().as_nanos() / 1000)
        .collect();
    // Two switches an activation; the lowest server is blocked by nobody.
    assert_eq!(responses, [1000 + 20 + 50, 1000 + 20 + 2000 + 20]);
}

#[test]
fn the_systems_that_come_with_tern_are_schedulable() {
    let systems = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systems");
    let mut seen = 0;
    for folder in std::fs::read_dir(systems).unwrap() {
        let Ok(files) = std::fs::read_dir(folder.unwrap().path()) else {
            continue;
        };
        for file in files.map(|file| file.unwrap().path()) {
            if file.file_name().is_some_and(|name| name == "system.toml") {
                let description = Description::read(&file).unwrap_or_else(|it| panic!("{it}"));
                let report = check(&description.system, &CostTable::NONE);
                assert!(report.schedulable(), "{report}");
                seen += 1;
            }
        }
    }
    assert!(seen > 0);
}

#[test]
fn a_replica_set_has_a_bound_on_its_repair() {
    let system = system(include_str!("../../config/tests/full.toml"));
    let costs = |page: u64| CostTable {
        page_copy: Duration::from_nanos(page),
        ..CostTable::NONE
    };
    let report = check(&system, &costs(0));
    let bound = report.recovery[0].bound.clone().unwrap();
    assert_eq!(
        (report.recovery[0].set.as_str(), report.recovery[0].pages),
        ("controller", 358)
    );
    assert_eq!((bound.rounds, bound.time), (1, Duration::from_millis(50)));
    // A page that takes longer than the budget that the job leaves can never be copied.
    let report = check(&system, &costs(60 * MS));
    assert!(report.recovery[0].bound.is_err());
    assert!(!report.schedulable());
    assert!(
        report.to_string().contains("no bound on repairs"),
        "{report}"
    );
    // Nor can a repair take place where jobs need the whole budget.
    let mut full = system;
    let server = &mut full.sandboxes[1].servers[0];
    server.threads[0].wcet = server.budget;
    let report = check(&full, &costs(0));
    assert_eq!(
        report.recovery[0].bound.as_ref().unwrap_err(),
        "server \"control\" of sandbox \"beta\" needs its whole budget for its job: give it more"
    );
}

#[test]
fn a_thousand_servers_are_checked_at_once() {
    let mut text = head();
    for index in 0..1000 {
        text += &server(&index.to_string(), "10us", &format!("{}ms", 20 + index), "");
    }
    let file = File::new("thousand", &text);
    let output = tern(&["check", "--json"], &file.0);
    assert_eq!(output.status.code(), Some(0));
}

/// A voter below a third server sends through the driver at the bottom, so the driver's
/// I/O server may be raised to just above the voter, and interferes from there on.
#[test]
fn an_io_server_interferes_from_the_priority_of_its_requester_on() {
    let system = |kind: &str| {
        let driver = format!("kind = \"{kind}\"\npriority = 3\n") + &thread("d", "driver = \"x\"");
        let voter = "priority = 2\n".to_owned() + &thread("v", "wcet = \"1ms\"\nvoter = \"c\"");
        let replicas: String = ["r0", "r1", "r2"]
            .iter()
            .zip(1..)
            .map(|(name, core)| {
                format!("[[sandbox]]\nname = \"{name}\"\ncore = {core}\n")
                    + &server(
                        "r",
                        "2ms",
                        "100ms",
                        &thread("r", "wcet = \"1ms\"\nreplica = \"c\""),
                    )
            })
            .collect();
        let text = "[system]\nname = \"x\"\n[[device]]\nname = \"x\"\nport = 0x2f8\ninterrupt = 3\n\
            [[sandbox]]\nname = \"s\"\ncore = 0\ndevices = [\"x\"]\n"
            .to_owned()
            + &server("top", "1ms", "50ms", "priority = 1")
            + &server("voter", "2ms", "100ms", &voter)
            + &server("driver", "5ms", "100ms", &driver)
            + &replicas
            + "[[replica_set]]\nname = \"c\"\nprogram = \"c\"\nperiod = \"100ms\"\n\
               ballot_deadline = \"20ms\"\nverdict_deadline = \"90ms\"\ndevice = \"x\"\n";
        Description::parse("x.toml", &text)
            .expect("a sound description")
            .system
    };
    let responses = |kind: &str| {
        let report = check(&system(kind), &CostTable::NONE);
        let servers = report.sandboxes[0].servers.iter();
        servers
            .map(|it| it.response.map(|it| it.as_nanos() / MS))
            .collect::<Vec<_>>()
    };
    assert_eq!(responses("sporadic"), [Some(1), Some(3), Some(8)]);
    // 1 + 2 + the driver's 5, and the share of 1/20 that it has of the rest: 3.15 ms at most.
    assert_eq!(responses("io"), [Some(1), Some(8), Some(8)]);
}

/// Sandboxes of up to four servers with up to two threads each, all offsets.
fn systems() -> impl Strategy<Value = System> {
    let thread = (1..6_u64, 1..5_u64, 0..12_u64);
    let threads = proptest::collection::vec(thread, 0..3);
    let kinds = prop_oneof![3 => Just(ServerKind::Sporadic), 1 => Just(ServerKind::Io)];
    let server = (1..4_u64, 2..12_u64, threads, kinds);
    proptest::collection::vec(server, 1..5).prop_map(|servers| {
        let servers =
            servers
                .into_iter()
                .zip(0..)
                .map(|((budget, more, threads, kind), priority)| {
                    let period = budget + more;
                    let threads = threads.into_iter().map(|(wcet, factor, offset)| {
                        let period = wcet * factor * 4;
                        Thread {
                            wcet,
                            period,
                            deadline: period,
                            offset,
                            ..Thread::default()
                        }
                    });
                    Server {
                        kind,
                        budget,
                        period,
                        deadline: period,
                        priority,
                        threads: threads.collect(),
                        ..Server::default()
                    }
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
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_simulated_response_exceeds_the_reported_bound(system in systems()) {
        let report = check(&system, &CostTable::NONE);
        let simulation = tern_sim::simulate(&system, Instant::from_nanos(600)).unwrap();
        for job in &simulation.jobs {
            let server = &report.sandboxes[0].servers[job.server];
            let thread = &server.threads[job.thread];
            let Some(bound) = thread.tighter.or(thread.response) else { continue };
            let end = job.finish.unwrap_or(Instant::from_nanos(600));
            let response = end.saturating_since(job.release);
            prop_assert!(
                response <= bound,
                "{:?} {:?} in step: {:?} bound {bound} {job:?}",
                thread.name, response, thread.tighter
            );
        }
    }
}

/// Durations from a nanosecond to the longest there is.
fn duration() -> impl Strategy<Value = u64> {
    (0..61_u32, any::<u64>())
        .prop_map(|(bits, number)| (number % (1 << bits) + 1).min(1_000_000_000_000_000_000))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_sizes_of_numbers_make_the_analysis_or_the_simulation_panic(
        servers in proptest::collection::vec(
            (duration(), duration(), duration(), duration(), duration(), duration(), duration(), duration()),
            1..5,
        ),
        until in duration(),
        cost in duration(),
    ) {
        let servers = servers.into_iter().zip(0..).map(|((a, b, deadline, jitter, blocking, wcet, period, offset), priority)| Server {
            budget: a.min(b),
            period: a.max(b),
            deadline,
            jitter,
            blocking,
            priority,
            threads: vec![Thread { wcet, period, deadline, offset, ..Thread::default() }],
            ..Server::default()
        });
        let sandbox = Sandbox { servers: servers.collect(), ..Sandbox::default() };
        let system = System { sandboxes: vec![sandbox], ..System::default() };
        let costs = CostTable { context_switch: Duration::from_nanos(cost), ..CostTable::NONE };
        for costs in [CostTable::NONE, costs] {
            let _ = check(&system, &costs).to_string();
        }
        // Short enough that the scheduler's own events stay few.
        let least = system.sandboxes[0].servers.iter().map(|it| it.budget.min(it.threads[0].wcet)).min();
        let until = until.min(least.unwrap_or(1).saturating_mul(1000));
        let _ = tern_sim::simulate(&system, Instant::from_nanos(until));
    }
}
