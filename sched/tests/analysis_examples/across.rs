//! Fixed points across cores.
use super::{span, sporadic};
use tern_sched::analysis::{
    CostTable, Dependency, ServerContext, ServerModel, ThreadModel, ThreadResponse, Threads,
    fixed_point,
};
use tern_units::Duration;

/// The first of a core's servers, with its response.
fn context(servers: &[ServerModel], response: u64) -> ServerContext<'_> {
    ServerContext {
        servers,
        index: 0,
        response: Some(span(response)),
        costs: &CostTable::NONE,
    }
}

/// The release of one thread by the end of another's job, at once.
fn release(waits: usize, on: usize) -> Dependency {
    Dependency {
        waits,
        on,
        latency: Duration::ZERO,
    }
}

/// The threads at the fixed point, and their responses, if there is one.
fn solve(
    contexts: &[ServerContext<'_>],
    servers: &[usize],
    own: &[ThreadModel],
    dependencies: &[Dependency],
    limit: u64,
) -> Option<(Vec<ThreadModel>, Vec<ThreadResponse>)> {
    let mut models = own.to_vec();
    let mut responses = vec![ThreadResponse::default(); own.len()];
    let mut threads = Threads {
        servers,
        own,
        models: &mut models,
        responses: &mut responses,
    };
    fixed_point(contexts, &mut threads, dependencies, span(limit)).then_some((models, responses))
}

/// Three replicas (4 in server (10, 20)), a voter (2 in server (5, 20)) released by the
/// last ballot, and in each replica's server a thread that is released by the verdict.
#[test]
fn replicas_and_voter_reach_a_fixed_point_across_cores() {
    let core = [sporadic(10, 20)];
    let voter_core = [sporadic(5, 20)];
    let contexts = [
        context(&core, 10),
        context(&core, 10),
        context(&core, 10),
        context(&voter_core, 5),
    ];
    let job = ThreadModel::periodic(span(4), span(200));
    let own = [
        job,
        job,
        job,
        job,
        job,
        job,
        ThreadModel::periodic(span(2), span(200)),
    ];
    let mut dependencies = Vec::new();
    for replica in 0..3 {
        let (ballot, repairs) = (2 * replica, 2 * replica + 1);
        for (waits, on) in [(6, ballot), (repairs, 6)] {
            dependencies.push(Dependency {
                latency: span(3),
                ..release(waits, on)
            });
        }
    }
    let servers = [0, 0, 1, 1, 2, 2, 3];
    let solved = solve(&contexts, &servers, &own, &dependencies, 1000);
    let Some((models, responses)) = solved else {
        panic!("there is a fixed point");
    };
    // No server is ever without budget: 8 and 2 are asked for in any 20. Ballot: 4. Voter:
    // jitter 4 + 3, 2: 9. Verdict known at 12: jitter 12, 4 + 4 behind a job of the first.
    let times: Vec<_> = responses
        .iter()
        .map(|r| r.time().unwrap().as_nanos())
        .collect();
    assert_eq!(times, [4, 20, 4, 20, 4, 20, 9]);
    assert_eq!(models[6].jitter, span(7));
    assert_eq!(models[1].jitter, span(12));
    assert!(solve(&contexts, &servers, &own, &dependencies, 19).is_none());
}

/// Two threads that release each other are later in every round: no fixed point.
#[test]
fn a_circle_of_releases_has_no_fixed_point() {
    let servers = [sporadic(10, 20)];
    let contexts = [context(&servers, 10); 2];
    let own = [ThreadModel::periodic(span(1), span(100)); 2];
    let circle = [release(0, 1), release(1, 0)];
    assert!(solve(&contexts, &[0, 1], &own, &circle, 10_000).is_none());
}

#[test]
fn a_limit_is_the_last_response_allowed() {
    let servers = [sporadic(10, 20)];
    let own = [ThreadModel::periodic(span(4), span(200))];
    for (limit, within) in [(3, false), (4, true), (5, true)] {
        let solved = solve(&[context(&servers, 10)], &[0], &own, &[], limit);
        assert_eq!(solved.is_some(), within, "{limit}");
    }
}

#[test]
fn slices_and_dependencies_that_do_not_fit_are_no_fixed_point() {
    let servers = [sporadic(10, 20)];
    let own = [ThreadModel::periodic(span(1), span(100)); 2];
    let fits = |placement: &[usize], models: usize, responses: usize, waits, on| {
        let (mut models, mut responses) = (
            vec![own[0]; models],
            vec![ThreadResponse::default(); responses],
        );
        let mut threads = Threads {
            servers: placement,
            own: &own,
            models: &mut models,
            responses: &mut responses,
        };
        let context = context(&servers, 10);
        fixed_point(
            &[context],
            &mut threads,
            &[release(waits, on)],
            span(10_000),
        )
    };
    assert!(fits(&[0, 0], 2, 2, 1, 0));
    assert!(!fits(&[0], 2, 2, 1, 0));
    assert!(!fits(&[0, 0], 1, 2, 1, 0));
    assert!(!fits(&[0, 0], 3, 2, 1, 0));
    assert!(!fits(&[0, 0], 2, 1, 1, 0));
    assert!(!fits(&[0, 0], 2, 3, 1, 0));
    assert!(!fits(&[0, 0], 2, 2, 2, 0));
    assert!(!fits(&[0, 0], 2, 2, 1, 2));
    assert!(!fits(&[0, 1], 2, 2, 1, 0), "there is no second server");
}
