//! Requests: a voter asks the driver of its device for work as each of its jobs ends, and
//! the driver's I/O server inherits its priority until it is served. As in the kernel, the
//! voter does not wait, but what preempts it may be the driver.
use tern_config::{Description, System};
use tern_sim::{Simulation, simulate_with_records};
use tern_trace::Event;
use tern_units::Instant;

const MS: u64 = 1_000_000;
/// Before the end of its job a voter asks.
const BEFORE_THE_END: u64 = 1;

/// An arbitrator with these servers, and one copy of what it passes on. Epochs of 50 ms: the
/// voter's jobs are released at 20, 70, … ms.
fn system(servers: &str, plant: &str) -> System {
    let text = format!(
        "[system]\nname = \"x\"\n\
         [[device]]\nname = \"d\"\nport = 0x2f8\ninterrupt = 3\n\
         [[sandbox]]\nname = \"arbitrator\"\ncore = 0\ndevices = [\"d\"]\n{servers}\
         [[sandbox]]\nname = \"copy\"\ncore = 1\n{}\
         {plant}\
         [[replica_set]]\nname = \"c\"\nprogram = \"c\"\nvoting = \"unprotected\"\nperiod = \"50ms\"\n\
         ballot_deadline = \"20ms\"\nverdict_deadline = \"40ms\"\ndevice = \"d\"\n",
        server(
            "c",
            "priority = 1\n",
            "5ms",
            "50ms",
            "wcet = \"1ms\"\nreplica = \"c\""
        ),
    );
    Description::parse("x.toml", &text)
        .unwrap_or_else(|problems| panic!("{problems}"))
        .system
}

fn server(name: &str, keys: &str, budget: &str, period: &str, thread: &str) -> String {
    format!(
        "[[sandbox.server]]\nname = \"{name}\"\nbudget = \"{budget}\"\nperiod = \"{period}\"\n{keys}\
         [[sandbox.server.thread]]\nname = \"{name}\"\n{thread}\n"
    )
}

const VOTER: &str = "wcet = \"4ms\"\nvoter = \"c\"";
const DRIVER: &str = "wcet = \"2ms\"\ndriver = \"d\"";

/// What simulates the device, so that nothing interrupts.
fn plant() -> String {
    let plant = "wcet = \"1ms\"\nperiod = \"50ms\"\nprogram = \"p\"\nsimulates = \"d\"";
    "[[sandbox]]\nname = \"plant\"\ncore = 2\n".to_owned() + &server("p", "", "5ms", "50ms", plant)
}

fn run(system: &System, until_ms: u64) -> Simulation {
    simulate_with_records(system, Instant::from_nanos(until_ms * MS)).unwrap()
}

/// Jobs of a server of the arbitrator: release and finish in nanoseconds.
fn jobs(simulation: &Simulation, server: usize) -> Vec<(u64, u64)> {
    let jobs = simulation.jobs.iter();
    jobs.filter(|job| (job.sandbox, job.server) == (0, server))
        .map(|job| {
            (
                job.release.as_nanos(),
                job.finish.map_or(0, Instant::as_nanos),
            )
        })
        .collect()
}

/// The records of the arbitrator from its voter's first release on.
fn records(simulation: &Simulation) -> Vec<(u64, Event)> {
    let events = tern_trace::Events::new(simulation.records[0].iter().copied());
    let events = events.map(Result::unwrap);
    events.filter(|(at, _)| *at >= 20 * MS).collect()
}

#[test]
fn a_driver_above_the_voter_preempts_it_just_before_its_job_ends() {
    let servers = server("io", "kind = \"io\"\n", "5ms", "25ms", DRIVER)
        + &server("voter", "", "10ms", "50ms", VOTER);
    let simulation = run(&system(&servers, &plant()), 60);
    let asked = 24 * MS - BEFORE_THE_END;
    assert_eq!(
        jobs(&simulation, 0),
        [(0, 2 * MS), (asked, asked + 2 * MS)],
        "its first job starts the device, the other is the request"
    );
    assert_eq!(jobs(&simulation, 1), [(20 * MS, 26 * MS)]);
}

/// The order of a kernel's records of the same.
#[test]
fn the_records_are_those_of_a_kernel_in_its_order() {
    let servers = server("io", "kind = \"io\"\n", "5ms", "25ms", DRIVER)
        + &server("voter", "", "10ms", "50ms", VOTER);
    let simulation = run(&system(&servers, &plant()), 50);
    let records = records(&simulation).into_iter();
    let records: Vec<String> = records
        .map(|(at, event)| format!("{at} {event:?}"))
        .collect();
    let expected = [
        "20000000 Release { thread: 1, job: 0 }",
        "20000000 Switch { thread: Some(1) }",
        "23999999 Release { thread: 0, job: 1 }",
        "23999999 Switch { thread: Some(0) }",
        "25999999 Complete { thread: 0, job: 1 }",
        "25999999 Block { thread: 0, until: None }",
        // 2 ms of a fifth of the core.
        "25999999 ReplenishPosted { server: 0, amount: 2000000ns, at: @33999999ns }",
        "25999999 Switch { thread: Some(1) }",
        "26000000 Complete { thread: 1, job: 0 }",
        "26000000 Block { thread: 1, until: None }",
        "26000000 ReplenishPosted { server: 1, amount: 4000000ns, at: @70000000ns }",
        "26000000 Switch { thread: None }",
        "50000000 ClockSync { now: @50000000ns }",
    ];
    assert_eq!(records, expected);
}

/// The driver is the least urgent but for whom it works. The worker has the core whenever it
/// is not taken from it.
#[test]
fn a_driver_below_inherits_the_priority_of_the_voter_until_it_has_served_it() {
    let worker = "wcet = \"50ms\"\nperiod = \"50ms\"";
    let servers = server(
        "io",
        "priority = 3\nkind = \"io\"\n",
        "10ms",
        "50ms",
        DRIVER,
    ) + &server("worker", "priority = 2\n", "50ms", "50ms", worker)
        + &server("voter", "priority = 1\n", "10ms", "50ms", VOTER);
    let simulation = run(&system(&servers, &plant()), 50);
    assert_eq!(
        jobs(&simulation, 2),
        [(20 * MS, 24 * MS)],
        "nothing is above the voter"
    );
    // Its first job, at 0, has not had the core before: the server is raised for both.
    let asked = 24 * MS - BEFORE_THE_END;
    assert_eq!(jobs(&simulation, 0), [(0, 26 * MS), (asked, 28 * MS)]);

    let without = servers.replace("kind = \"io\"\n", "");
    let simulation = run(&system(&without, &plant()), 50);
    assert_eq!(
        jobs(&simulation, 0),
        [(0, 0), (asked, 0)],
        "a sporadic server inherits nothing"
    );
}

/// Interrupts at 0, 25, 50, …; the request at 24.
#[test]
fn a_port_interrupts_with_the_drivers_period_beside_the_requests() {
    let servers = server("io", "kind = \"io\"\n", "5ms", "25ms", DRIVER)
        + &server("voter", "", "10ms", "50ms", VOTER);
    let simulation = run(&system(&servers, ""), 60);
    let asked = 24 * MS - BEFORE_THE_END;
    assert_eq!(
        jobs(&simulation, 0),
        [
            (0, 2 * MS),
            (asked, asked + 2 * MS),
            (25 * MS, asked + 4 * MS),
            // What was used from 24 on, 4 ms, moves its budget by 20.
            (50 * MS, 52 * MS)
        ]
    );
    assert_eq!(jobs(&simulation, 1), [(20 * MS, 28 * MS)]);
}

#[test]
fn a_driver_without_budget_serves_late_and_the_voter_does_not_wait_for_it() {
    let servers = server("io", "kind = \"io\"\n", "1ms", "25ms", DRIVER)
        + &server("voter", "", "10ms", "50ms", VOTER);
    let simulation = run(&system(&servers, &plant()), 110);
    let asked = 24 * MS - BEFORE_THE_END;
    // 1 ms in 25: the first job has the core from 0 to 1 and from 25 to 26.
    assert_eq!(jobs(&simulation, 0)[0], (0, 26 * MS));
    assert_eq!(jobs(&simulation, 0)[1], (asked, 76 * MS));
    assert_eq!(jobs(&simulation, 1)[0], (20 * MS, 24 * MS));
}

#[test]
fn the_shortest_job_asks_as_it_ends() {
    let voter = "wcet = \"1ns\"\nvoter = \"c\"";
    let servers = server("io", "kind = \"io\"\n", "5ms", "25ms", DRIVER)
        + &server("voter", "", "10ms", "50ms", voter);
    let simulation = run(&system(&servers, &plant()), 50);
    assert_eq!(jobs(&simulation, 1), [(20 * MS, 20 * MS + 1)]);
    assert_eq!(jobs(&simulation, 0)[1], (20 * MS + 1, 22 * MS + 1));
}
