//! An independent model of a whole core: tick by tick, every server as single units of
//! budget, every decision made anew from the rules.
use super::tokens::Tokens;
use super::{Jobs, Outcome};

/// Runs `threads` in servers (budget, period), highest priority first, until `end`.
pub fn simulate(servers: &[(u64, u64)], threads: &[Jobs], end: u64) -> Outcome {
    let mut tokens: Vec<Tokens> = servers
        .iter()
        .map(|&(budget, period)| Tokens::new(budget, period, usize::MAX))
        .collect();
    let mut active = vec![false; servers.len()];
    let mut left: Vec<Vec<(u64, u64)>> = threads.iter().map(|thread| thread.jobs.clone()).collect();
    let mut outcome = Outcome {
        runs: vec![Vec::new(); servers.len()],
        finished: vec![Vec::new(); threads.len()],
        ..Outcome::default()
    };
    for now in 0..end {
        let has_work = |thread: usize| left[thread].first().is_some_and(|job| job.0 <= now);
        let mut chosen = None;
        for server in 0..servers.len() {
            let first = (0..threads.len())
                .find(|&thread| threads[thread].server == server && has_work(thread));
            if first.is_some() && !active[server] {
                tokens[server].unblock(now);
            }
            active[server] = first.is_some();
            if chosen.is_none() && tokens[server].may_run(now) {
                chosen = first;
            }
        }
        let Some(thread) = chosen else { continue };
        let server = threads[thread].server;
        tokens[server].charge(1);
        match outcome.runs[server].last_mut() {
            Some((_, until)) if *until == now => *until = now + 1,
            _ => outcome.runs[server].push((now, now + 1)),
        }
        left[thread][0].1 -= 1;
        if left[thread][0].1 == 0 {
            left[thread].remove(0);
            outcome.finished[thread].push(now + 1);
        }
    }
    outcome
}
