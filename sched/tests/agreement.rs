//! The scheduler, driven by exact timers, against the tick-by-tick model, on random
//! systems: the same runs and the same completions.
mod common;
use common::{Jobs, Random, reference, simulate, span};
use tern_sched::ServerParameters;

const SYSTEMS: u64 = if cfg!(debug_assertions) {
    3_000
} else {
    60_000
};
const END: u64 = 80;

fn random_jobs(random: &mut Random, server: usize) -> Jobs {
    let mut release = random.within(0, 12);
    let jobs = (0..random.within(1, 6))
        .map(|_| {
            let job = (release, random.within(1, 5));
            release += random.within(0, 14);
            job
        })
        .collect();
    Jobs { server, jobs }
}

#[test]
fn random_systems_run_as_in_the_model() {
    let mut preempted_and_exhausted = 0;
    for seed in 0..SYSTEMS {
        let mut random = Random(seed);
        let servers: Vec<(u64, u64)> = (0..random.within(1, 4))
            .map(|_| {
                let period = random.within(1, 16);
                (random.within(1, period), period)
            })
            .collect();
        let threads: Vec<Jobs> = (0..random.within(1, 6))
            .map(|_| {
                let server = random.within(0, servers.len() as u64 - 1) as usize;
                random_jobs(&mut random, server)
            })
            .collect();
        let mut priority = 0;
        let parameters: Vec<_> = servers
            .iter()
            .map(|&(c, t)| {
                priority += random.within(1, 15) as u32;
                ServerParameters::sporadic(span(c), span(t), priority)
            })
            .collect();
        let ours = simulate(&parameters, &threads, END);
        let model = reference::simulate(&servers, &threads, END);
        assert_eq!(ours.runs, model.runs, "runs of the servers, seed {seed}");
        assert_eq!(ours.finished, model.finished, "completions, seed {seed}");
        preempted_and_exhausted += usize::from(ours.exhausted > 0 && ours.runs.len() > 1);
    }
    assert!(preempted_and_exhausted as u64 > SYSTEMS / 10);
}
