//! Histories of a scheduler: any calls at any times keep the rules of the sporadic server
//! (conservation, order, bounded list) and its timer never stands still.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tern_sched::{
    Observer, Posted, Scheduler, ServerId, ServerKind, ServerParameters, ThreadId, ThreadState,
};
use tern_units::{Duration, Instant};

type Fuzzed = Scheduler<5, 7, 2>;

/// The input as a source of numbers; zeros when it is used up.
struct Source<'a>(&'a [u8]);

impl Source<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    /// A number of any magnitude, small ones often.
    fn number(&mut self) -> u64 {
        let (kind, low) = (self.byte(), u64::from(self.byte()));
        match kind {
            0..160 => low % 32,
            160..224 => low << (kind % 56),
            224..240 => u64::MAX - low,
            _ => u64::MAX >> (low % 64),
        }
    }

    fn span(&mut self) -> Duration {
        Duration::from_nanos(self.number())
    }
}

/// What every posting must keep.
struct Rules<'a> {
    servers: &'a [ServerParameters],
    now: Instant,
}

impl Observer for Rules<'_> {
    fn replenish_posted(&mut self, server: ServerId, posted: Posted) {
        let parameters = &self.servers[server.index()];
        assert!(!posted.amount.is_zero());
        if parameters.kind == ServerKind::Sporadic {
            assert!(posted.amount <= parameters.budget);
        }
    }

    fn woken(&mut self, _thread: ThreadId, at: Instant) {
        assert!(at <= self.now);
    }
}

fn check(scheduler: &Fuzzed, servers: &[ServerParameters]) {
    for (number, parameters) in (0..).zip(servers) {
        let Some(server) = scheduler.sporadic(ServerId::new(number)) else {
            continue;
        };
        let list: Vec<_> = server.replenishments().collect();
        let sum: u128 = list.iter().map(|it| u128::from(it.amount.as_nanos())).sum();
        assert_eq!(sum, u128::from(parameters.budget.as_nanos()), "{list:?}");
        assert!((1..=3).contains(&list.len()));
        for pair in list.windows(2) {
            let end = pair[0].time.checked_add(pair[0].amount);
            assert!(end.is_some_and(|end| end < pair[1].time), "{list:?}");
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut source = Source(data);
    let mut scheduler = Box::new(Fuzzed::new());
    let mut servers = Vec::new();
    for _ in 0..source.byte() % 7 {
        let parameters = ServerParameters {
            kind: match source.byte() % 4 {
                0 => ServerKind::Io,
                _ => ServerKind::Sporadic,
            },
            budget: source.span(),
            period: source.span(),
            priority: u32::from(source.byte()),
            minimum_budget: source.span(),
            room: 3,
        };
        if scheduler.add_server(parameters).is_ok() {
            servers.push(parameters);
        }
    }
    for _ in 0..source.byte() % 9 {
        let _ = scheduler.add_thread(ServerId::new(u16::from(source.byte() % 6)));
    }
    let mut now = Instant::EPOCH;
    while !source.0.is_empty() {
        let mut rules = Rules {
            servers: &servers,
            now: Instant::NEVER,
        };
        let choice = source.byte();
        let thread = ThreadId::new(u16::from(choice >> 4));
        let time = match choice & 8 {
            0 => now.saturating_add(source.span()),
            _ => Instant::from_nanos(source.number()),
        };
        match choice & 7 {
            0 => scheduler.wake(thread, now),
            1 => scheduler.wake(thread, time),
            2 => scheduler.block(thread, &mut rules),
            3 => scheduler.sleep_until(thread, time, &mut rules),
            4 => {
                let server = ServerId::new(u16::from(source.byte() % 7));
                scheduler.request(thread, server, &mut rules);
            }
            5 => scheduler.served(thread, &mut rules),
            _ => {
                // Time that seems to run backwards stands still.
                now = time;
                let decision = scheduler.dispatch(time, &mut rules);
                assert!(decision.timer > time || time == Instant::NEVER);
                assert_eq!(decision.thread, scheduler.running());
                if let Some(thread) = decision.thread {
                    let state = scheduler.thread_state(thread);
                    assert_eq!(state, Some(ThreadState::Runnable));
                }
            }
        }
        check(&scheduler, &servers);
    }
});
