//! A scheduler charges a preempted server later than at its preemption, and what an overrun
//! took of the next chunk with the rest of that chunk. Nothing that it decides may tell: it
//! is compared with servers that are charged at once, under timers that fire late,
//! preemptions and blocks. (Where a list is full it may tell: chunks that are charged
//! together need fewer entries, so fewer are delayed.)
mod common;
use common::{Random, at, span};
use tern_sched::{Replenishment, Scheduler, ServerId, ServerParameters, Silent, SporadicServer};

/// The rules, followed to the letter.
struct Model {
    server: SporadicServer,
    runnable: bool,
}

impl Model {
    fn available(&self, now: u64) -> u64 {
        match self.runnable {
            true => self.server.available(at(now)).as_nanos(),
            false => 0,
        }
    }
}

fn list(server: &SporadicServer) -> Vec<Replenishment> {
    server.replenishments().collect()
}

#[test]
fn a_scheduler_decides_as_if_servers_were_charged_at_once() {
    for seed in 0..2_000 {
        let mut random = Random(seed);
        let parameters = [0, 1, 2].map(|priority| {
            let (budget, period) = (random.within(3, 12), random.within(20, 60));
            let minimum = random.within(0, 3);
            ServerParameters::sporadic(span(budget), span(period), priority)
                .with_room(32)
                .with_minimum_budget(span(minimum))
        });
        let mut scheduler = Box::new(Scheduler::<3, 3>::new());
        let servers: [ServerId; 3] = parameters.map(|it| scheduler.add_server(it).unwrap());
        let threads = servers.map(|server| scheduler.add_thread(server).unwrap());
        let mut models = parameters.map(|it| Model {
            server: SporadicServer::new(it, at(0)).unwrap(),
            runnable: false,
        });
        let (mut now, mut running, mut since) = (0, None::<usize>, 0);
        for _ in 0..200 {
            // What happens until the next dispatch: a thread wakes, or the running one blocks.
            let other = random.within(0, 2) as usize;
            let blocks = running.filter(|_| random.within(0, 3) == 0);
            if running != Some(other) && !models[other].runnable {
                scheduler.wake(threads[other], at(now));
                models[other].runnable = true;
                models[other].server.unblock(at(now));
            }
            if let Some(running) = blocks {
                scheduler.block(threads[running], &mut Silent);
            }
            let mut uncharged = now - since;
            if let Some(it) = running.map(|it| &mut models[it]) {
                it.runnable = blocks.is_none();
                if !it.runnable || uncharged >= it.server.head().amount.as_nanos() {
                    it.server.charge(span(uncharged), |_| ());
                    (since, uncharged) = (now, 0);
                }
            }
            let expected = (0..3).find(|&it| models[it].available(now) > 0);
            if running != expected {
                if let Some(preempted) = running {
                    models[preempted].server.charge(span(uncharged), |_| ());
                }
                since = now;
            }
            let decision = scheduler.dispatch(at(now), &mut Silent);
            let chosen = decision.thread.map(|thread| thread.index());
            assert_eq!(chosen, expected, "seed {seed} at {now}");
            let above = models[..chosen.unwrap_or(3)].iter();
            let due = above
                .filter(|it| it.runnable)
                .map(|it| it.server.head().time);
            let exhausted = chosen.map(|it| at(since + models[it].available(now)));
            let timer = due.chain(exhausted).min();
            if let Some(timer) = timer {
                assert_eq!(decision.timer, timer, "seed {seed} at {now}");
            }
            for (model, &server) in models.iter().zip(&servers) {
                if !model.runnable {
                    let seen = list(scheduler.sporadic(server).unwrap());
                    assert_eq!(seen, list(&model.server), "seed {seed} at {now}");
                }
            }
            running = chosen;
            // The next dispatch comes early, on time or late.
            let on_time = decision.timer.as_nanos().saturating_sub(now).min(20);
            now += match random.within(0, 2) {
                0 => random.within(0, on_time),
                1 => on_time,
                _ => on_time + random.within(0, 20),
            };
        }
    }
}
