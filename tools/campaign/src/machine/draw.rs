//! Random systems: sandboxes with servers and threads whose jobs nearly use their execution
//! times up, one of them the driver of a port that is flooded, and doorbells that ring at them.
use super::model::{Doorbell, Model, Runs, Server, Thread};
use super::work::Work;
use crate::draw::{between, shares};
use tern_config::layout::LEAST_DOORBELL;
use tern_units::Duration;

/// Sandboxes that work, at most; the doorbells' guest has a core of its own.
const SANDBOXES: usize = 3;
/// Servers of a sandbox, at most.
const SERVERS: usize = 6;
/// Threads of a server: few as a rule, now and then many.
const FEW: usize = 4;
const MANY: usize = 12;
/// Doorbells, at most: as many as the guest rings.
const DOORBELLS: usize = 4;
/// Shortest and longest period of a server, in microseconds.
const PERIODS: (u64, u64) = (500, 20_000);
/// Shortest and longest interval of a doorbell, in microseconds.
const INTERVALS: (u64, u64) = (LEAST_DOORBELL / 1_000, 5_000);
/// Shortest budget and execution time, in microseconds: below, nearly all of it is the kernel's.
const LEAST_BUDGET: u64 = 60;
const LEAST_WCET: u64 = 15;
/// Periods of a thread in periods of its server, at most.
const SLOWER: u64 = 8;
/// Of a core's time, what its servers take in one hundredths: the most is more than a core can
/// carry with the kernel's own work.
const LOAD: (u64, u64) = (30, 95);
/// Of its execution time, what a job takes at least, in one hundredths.
const LEAST_FILL: u64 = 90;
/// Deadlines are as far away as bounds may be: the analysis then says the bounds.
const FAR: u64 = 16;

/// Draws the system of `seed` for a machine on which work costs `work`. Whether its deadlines
/// hold is not known yet.
pub(super) fn draw(
    random: &mut fastrand::Rng,
    seed: u64,
    platform: &'static str,
    work: &Work,
) -> Model {
    let count = random.usize(1..=SANDBOXES);
    let driven = (random.u8(..4) > 0).then(|| random.usize(..count));
    let doorbells = match random.u8(..4) {
        0 => 0,
        _ => random.usize(1..=DOORBELLS),
    };
    Model {
        seed,
        platform,
        doorbells: (0..doorbells).map(|_| doorbell(random, count)).collect(),
        sandboxes: (0..count)
            .map(|number| sandbox(random, driven == Some(number), work))
            .collect(),
    }
}

/// Draws a sandbox; one that `drives` has the driver of the port that is flooded.
pub(super) fn sandbox(random: &mut fastrand::Rng, drives: bool, work: &Work) -> Vec<Server> {
    let load = random.u64(LOAD.0..=LOAD.1) as f64 / 100.0;
    let count = random.usize(1..=SERVERS);
    let harmonic = random.u8(..3) == 0;
    let mut servers = Vec::new();
    for share in shares(random, count, load) {
        let period = match harmonic {
            // Halves of 16 ms: many releases at one instant.
            true => 16_000 >> random.u32(..5),
            false => between(random, PERIODS) / 100 * 100,
        };
        servers.push(server(random, period, share, work));
    }
    if drives {
        servers.push(driver(random, work));
    }
    servers
}

fn server(random: &mut fastrand::Rng, period: u64, share: f64, work: &Work) -> Server {
    let budget = ((period as f64 * share) as u64).clamp(LEAST_BUDGET, period);
    let count = match random.u8(..8) {
        0..=2 => 1,
        3..=6 => random.usize(2..=FEW),
        _ => random.usize(FEW + 1..=MANY),
    };
    // What the threads want of the budget: some never use it up, some always do.
    let wanted = budget as f64 / period as f64 * random.u64(40..=98) as f64 / 100.0;
    let threads = shares(random, count, wanted);
    let threads = threads
        .iter()
        .map(|share| thread(random, period, *share, work));
    Server {
        threads: threads.collect(),
        io: random.u8(..5) == 0,
        budget: micros(budget),
        period: micros(period),
        deadline: micros(period * FAR),
    }
}

fn thread(random: &mut fastrand::Rng, server: u64, share: f64, work: &Work) -> Thread {
    let period = match random.u8(..3) {
        0 => server,
        1 => server * random.u64(2..=SLOWER),
        _ => between(random, (server, server * SLOWER)),
    };
    let wcet = micros(((period as f64 * share) as u64).max(LEAST_WCET));
    let fill = random.u64(LEAST_FILL..=100);
    let time = Duration::from_nanos(wcet.as_nanos() * fill / 100);
    let steps = work.steps(time).or_else(|| work.steps(wcet));
    let offset = match random.bool() {
        true => 0,
        false => random.u64(..period),
    };
    Thread {
        wcet: wcet.max(work.job),
        period: micros(period),
        deadline: micros(period * FAR),
        offset: micros(offset),
        runs: Runs::Steps(steps.unwrap_or(0)),
    }
}

/// An I/O server whose driver always has something to do.
fn driver(random: &mut fastrand::Rng, work: &Work) -> Server {
    let period = micros(between(random, (1_000, 8_000)) / 100 * 100);
    let budget = work.driver.as_nanos() * random.u64(10..=40) / 10;
    let budget = Duration::from_nanos(budget);
    Server {
        io: true,
        budget,
        period,
        deadline: period.saturating_mul(FAR),
        threads: vec![Thread {
            wcet: work.driver,
            period,
            deadline: period.saturating_mul(FAR),
            offset: Duration::ZERO,
            runs: Runs::Driver,
        }],
    }
}

fn doorbell(random: &mut fastrand::Rng, sandboxes: usize) -> Doorbell {
    let mut readers: Vec<_> = (0..sandboxes).filter(|_| random.bool()).collect();
    if readers.is_empty() {
        readers.push(random.usize(..sandboxes));
    }
    Doorbell {
        interval: micros(between(random, INTERVALS)),
        readers,
    }
}

const fn micros(count: u64) -> Duration {
    Duration::from_micros(count)
}
