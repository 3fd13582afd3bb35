//! The advice on a system that is not schedulable: the smallest change that helps.
use tern_check::{check, check_and_advise};
use tern_sched::analysis::CostTable;

use crate::descriptions::{head, late, server, system, thread};

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
            "raise the budget of server \"a\" from 2ms to 2.5ms, or raise its deadline from 20ms to 21ms"
        ]
    );
    assert!(schedulable(&job("2.5ms", "5ms")));
    assert!(!schedulable(&job("2499999ns", "5ms")));

    // More budget for "a" would make "b" late: the job has to become shorter.
    let tight = |wcet: &str| job("2ms", wcet).replacen("\"6ms\"", "\"15.5ms\"", 1);
    assert_eq!(
        advice(&tight("5ms")),
        ["lower its wcet from 5ms to 4ms, or raise its deadline from 20ms to 21ms"]
    );
    assert!(schedulable(&tight("4ms")));
}
