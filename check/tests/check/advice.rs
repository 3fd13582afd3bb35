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

/// Where no budget and no wcet helps: who has a server of its own is not told to get one.
#[test]
fn a_thread_is_told_to_get_a_server_of_its_own_only_if_it_shares_one() {
    let hopeless = thread(
        "t",
        "wcet = \"20ms\"\nperiod = \"15ms\"\ndeadline = \"1us\"",
    );
    // The server above takes longer than the deadline.
    let text = head() + &server("a", "5ms", "10ms", "") + &server("b", "1ms", "20ms", &hopeless);
    assert_eq!(advice(&text), ["give its server a shorter period"]);
    let other = thread("u", "wcet = \"1us\"\nperiod = \"10ms\"");
    assert_eq!(
        advice(&(text + &other)),
        ["give it a server of its own with a shorter period"; 2]
    );
}

/// Two servers that ask for all of the core, in periods that end together after half a million
/// jobs of the second: so long is its busy window. The closed form is (C + 10/2 ms) : 1/2, rounded up.
#[test]
fn a_search_that_was_given_up_is_told_and_its_bound_is_no_refutation() {
    let text =
        head() + &server("a", "10ms", "20ms", "") + &server("b", "16180340ns", "32360680ns", "");
    let report = check_and_advise(&system(&text), &CostTable::NONE);
    let [searched, given_up] = &report.sandboxes[0].servers[..] else {
        panic!("{report:?}");
    };
    assert!(!searched.gave_up && searched.failure.is_none());
    assert!(given_up.gave_up && !given_up.schedulable());
    assert_eq!(given_up.response.map(|it| it.as_nanos()), Some(42_360_681));
    let reason = &given_up.failure.as_ref().unwrap().reason;
    assert_eq!(
        reason,
        "not shown to be in time: its budget is delivered after 42.361ms at the latest, 10.001ms beyond \
         the deadline, and the search for a shorter bound was given up"
    );
}
