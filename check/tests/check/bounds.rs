//! The bounds: on responses of servers and threads, and on repairs.
use std::path::Path;

use tern_check::{Report, check};
use tern_config::Description;
use tern_sched::analysis::{Bound, CostTable};
use tern_units::Duration;

use crate::descriptions::{MS, head, server, system, thread};

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
fn threads_that_never_ask_for_more_than_the_budget_are_as_good_as_their_servers_level() {
    let work = thread("t", "wcet = \"3ms\"\nperiod = \"20ms\"\ndeadline = \"6ms\"");
    let text = head() + &server("a", "2ms", "10ms", "") + &server("b", "4ms", "20ms", &work);
    let bound = |text: &str| {
        let report = check(&system(text), &CostTable::NONE);
        let thread = &report.sandboxes[0].servers[1].threads[0];
        (thread.bound, thread.response.map(|it| it.as_nanos() / MS))
    };
    let within = |ms| (Some(Bound::WithinBudget), Some(ms));
    assert_eq!(bound(&text), within(5), "3 ms and one preemption of 2 ms");
    let two = |wcet: &str| {
        let other = format!("wcet = \"{wcet}\"\nperiod = \"90ms\"");
        bound(&(text.clone() + &thread("u", &other)))
    };
    assert_eq!(two("1ms"), within(5), "4 ms in any 20");
    // Not where a second thread asks for more, jobs come faster, or are longer than the budget.
    assert_ne!(two("1001us").0, Some(Bound::WithinBudget));
    let other = |wcet: &str, period: &str| {
        let other = format!("\"{wcet}\"\nperiod = \"{period}\"");
        bound(&text.replacen("\"3ms\"\nperiod = \"20ms\"", &other, 1)).0
    };
    assert_ne!(other("3ms", "19ms"), Some(Bound::WithinBudget));
    assert_ne!(other("5ms", "30ms"), Some(Bound::WithinBudget));
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
    // Two switches an activation; the lowest server is blocked by nobody, but who is above it
    // may overrun.
    assert_eq!(responses, [1000 + 20 + 50, 1000 + 20 + 50 + 2000 + 20]);
}

#[test]
fn the_systems_that_come_with_tern_are_schedulable() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut seen = 0;
    let folders = ["systems", "tests/systems"].map(|it| std::fs::read_dir(root.join(it)).unwrap());
    for folder in folders.into_iter().flatten() {
        let Ok(files) = std::fs::read_dir(folder.unwrap().path()) else {
            continue;
        };
        for file in files.map(|file| file.unwrap().path()) {
            let is_toml = file.extension().is_some_and(|it| it == "toml");
            if is_toml && file.file_name().is_some_and(|name| name != "Cargo.toml") {
                let description = Description::read(&file).unwrap_or_else(|it| panic!("{it}"));
                let report = check(&description.system, &CostTable::NONE);
                assert!(report.schedulable(), "{report:#?}");
                seen += 1;
            }
        }
    }
    assert!(seen > 0);
}

/// A set in which a page of a repair takes this long: jobs of 8 ms in budgets of 10 ms every
/// 50 ms, 24 ms from verdict to release.
fn repairs(text: &str, page_repair: u64) -> Report {
    let costs = CostTable {
        page_repair: Duration::from_nanos(page_repair),
        ..CostTable::NONE
    };
    check(&system(text), &costs)
}

const SET: &str = include_str!("../../../base/config/tests/full.toml");

#[test]
fn a_replica_set_has_a_bound_on_its_repair() {
    let report = repairs(SET, 0);
    let set = &report.recovery[0];
    assert_eq!((set.set.as_str(), set.pages), ("controller", 32));
    let bound = set.bound.clone().unwrap();
    // Work without costs takes no time: what is left is one pause, a sixth of the window.
    assert_eq!((bound.time, bound.apart), (Duration::from_millis(4), 1));
    // With all 358 pages, donor and target might wait for each other too often.
    assert!(set.all.is_none());

    // Half of the 2 ms that a job leaves, and a bit more.
    let apart = |page: u64| {
        let bound = repairs(SET, page).recovery[0].bound.clone();
        bound.map(|bound| bound.apart)
    };
    assert_eq!(apart(MS / 33), Ok(1));
    assert_eq!(apart(MS / 33 + 1), Ok(2));
    let report = repairs(SET, 2 * MS / 33 + 1);
    assert_eq!(
        report.recovery[0].bound.as_ref().unwrap_err(),
        "server \"control\" of sandbox \"alpha\": job and repair take up to 10ms: give it that \
         budget, or promise fewer pages"
    );
    assert!(!report.schedulable());
}

#[test]
fn a_description_promises_how_many_pages_a_fault_damages() {
    let promise = |pages: u64| {
        let key = format!("heap_pages = 96\nrepair_pages = {pages}");
        SET.replacen("heap_pages = 96", &key, 1)
    };
    let bound = |pages| {
        let set = repairs(&promise(pages), 10_000).recovery.remove(0);
        (
            set.pages,
            set.bound.map(|bound| bound.time.as_nanos() / 10_000),
        )
    };
    // A pause, and a stretch of work before and after it, each held up for 2 ms: 20 pages, one
    // that is waited for, and the last step.
    assert_eq!(bound(20), (20, Ok(400 + 2 * 200 + 22)));
    // Of more than the donor may be ahead, 30 less, two pauses and two stretches more.
    assert_eq!(bound(33), (33, Ok(3 * 400 + 4 * 200 + 5)));
    assert_eq!(bound(1000).0, 358, "the program has no more");
    // The slower hash is made twice for each page.
    let slow = promise(20).replacen("heap_pages", "leaf = \"sha256\"\nheap_pages", 1);
    let costs = CostTable {
        page_hash: Duration::from_nanos(5_000),
        ..CostTable::NONE
    };
    let report = check(&system(&slow), &costs);
    let time = report.recovery[0].bound.as_ref().unwrap().time;
    // The last step is two hashes of 256 leaves each; there is a look in each stretch.
    assert_eq!(time.as_nanos() / 5_000, 800 + 2 * 400 + 2 * 22 + 2);
}

#[test]
fn a_replica_that_shares_its_server_has_no_bound_on_repairs() {
    let other = thread("other", "wcet = \"1us\"\nperiod = \"50ms\"");
    let shared = SET.replacen(
        "    replica = \"controller\"\n",
        &format!("    replica = \"controller\"\n{other}"),
        1,
    );
    let report = repairs(&shared, 0);
    let obstacle = report.recovery[0].bound.as_ref().unwrap_err();
    assert!(obstacle.contains("of one thread"), "{obstacle}");
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
