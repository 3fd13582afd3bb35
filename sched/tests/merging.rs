//! However many chunks become usable together, no operation merges more than 32 of them, and
//! what is left to merge grants the same service as if all were merged at once.
mod common;
use common::{Random, at, span};
use tern_sched::{ServerParameters, SporadicServer};

const HISTORIES: u64 = if cfg!(debug_assertions) { 30 } else { 300 };

/// Chunks that one operation merges at most.
const AT_ONCE: usize = 32;

/// Merges all that touches at once: rules 3 and 4 as they stand, for lists with room.
struct Eager {
    period: u64,
    list: Vec<(u64, u64)>,
}

impl Eager {
    fn may_run(&self, now: u64) -> bool {
        self.list[0].0 <= now
    }

    fn unblock(&mut self, now: u64) {
        if self.list[0].0 < now {
            self.list[0].0 = now;
            self.tidy();
        }
    }

    fn charge(&mut self, mut used: u64) {
        while used > 0 {
            let (time, amount) = self.list[0];
            let taken = used.min(amount);
            used -= taken;
            match taken == amount {
                true => _ = self.list.remove(0),
                false => self.list[0] = (time + taken, amount - taken),
            }
            self.list.push((time + self.period, taken));
            self.tidy();
        }
    }

    fn tidy(&mut self) {
        let mut merged: Vec<(u64, u64)> = Vec::new();
        for &(time, amount) in &self.list {
            match merged.last_mut() {
                Some(last) if time <= last.0 + last.1 => last.1 += amount,
                _ => merged.push((time, amount)),
            }
        }
        self.list = merged;
    }
}

fn list(server: &SporadicServer) -> Vec<(u64, u64)> {
    server
        .replenishments()
        .map(|it| (it.time.as_nanos(), it.amount.as_nanos()))
        .collect()
}

/// (400, 1000) with room for every unit.
fn server() -> SporadicServer {
    let parameters = ServerParameters::sporadic(span(400), span(1000), 0);
    SporadicServer::new(parameters.with_room(401), at(0)).unwrap()
}

/// Leaves a chunk of 2 every 5 units.
fn fragmented() -> SporadicServer {
    let mut server = server();
    for chunk in 0..199 {
        server.unblock(at(5 * chunk));
        server.charge(span(2), |_| ());
    }
    server
}

#[test]
fn an_operation_merges_32_chunks_and_the_next_ones_go_on() {
    let mut server = fragmented();
    let all = server.replenishments().count();
    assert!(all > 190, "{all}");

    // Long after: every chunk is usable.
    server.unblock(at(10_000));
    assert_eq!(server.replenishments().count(), all - AT_ONCE);

    // Each charge adds a chunk and goes on with the merge.
    let mut left = all - AT_ONCE;
    for step in 0..3 {
        server.charge(span(1), |_| ());
        left = left + usize::from(step == 0) - AT_ONCE;
        assert_eq!(server.replenishments().count(), left);
    }
}

#[test]
fn a_merge_that_was_cut_short_delays_no_budget() {
    let mut server = fragmented();
    server.unblock(at(10_000));
    let mut now = 10_000;
    while now < 10_400 {
        let may = server.available(at(now)).as_nanos();
        assert!(may > 0, "without budget at {now}");
        server.charge(span(may), |_| ());
        now += may;
    }
    // All of it was one stretch, and so it returns.
    assert_eq!(now, 10_400);
    assert_eq!(list(&server), [(11_000, 400)]);
}

#[test]
fn histories_with_hundreds_of_chunks_get_the_service_of_a_list_that_is_merged_at_once() {
    let mut cut_short = 0;
    for seed in 0..HISTORIES {
        let mut random = Random(seed);
        let mut server = server();
        let mut model = Eager {
            period: 1000,
            list: vec![(0, 400)],
        };
        let mut now = 0;
        for _ in 0..600 {
            // Mostly short jobs and short pauses, seldom a long one.
            let pause = match random.within(0, 99) {
                0 => random.within(300, 3_000),
                _ => random.within(1, 4),
            };
            now += pause;
            server.unblock(at(now));
            model.unblock(now);
            let before = list(&server);
            let reaches = |pair: &[(u64, u64)]| pair[0].0 + pair[0].1 >= pair[1].0;
            cut_short += u64::from(before.windows(2).any(reaches));

            let longest = match random.within(0, 9) {
                0 => 120,
                _ => 2,
            };
            let mut work = random.within(1, longest);
            while work > 0 {
                let (ours, theirs) = (list(&server)[0].0 <= now, model.may_run(now));
                assert_eq!(ours, theirs, "seed {seed} at {now}");
                if !ours {
                    now += 1;
                    continue;
                }
                let ran = work.min(server.available(at(now)).as_nanos());
                server.charge(span(ran), |_| ());
                model.charge(ran);
                (now, work) = (now + ran, work - ran);
            }
            // Merged to its end, the list is the other one.
            let mut rest = Eager {
                period: 1000,
                list: list(&server),
            };
            rest.tidy();
            assert_eq!(rest.list, model.list, "seed {seed} at {now}");
        }
    }
    assert!(cut_short > HISTORIES, "merges cut short: {cut_short}");
}

/// An overrun of whole budgets moves the list, merges cut short included.
#[test]
fn an_overrun_of_several_budgets_amid_a_merge_is_charged_like_one_after_it() {
    let mut lists = Vec::new();
    for first in [0, 400] {
        let mut server = fragmented();
        server.unblock(at(10_000));
        if first > 0 {
            server.charge(span(first), |_| ());
        }
        server.charge(span(1_203 - first), |_| ());
        lists.push(list(&server));
    }
    assert_eq!(lists[0], [(13_003, 397), (14_000, 3)]);
    assert_eq!(lists[1], lists[0]);
}
