//! Random systems for the host: every key of a description that a bound depends on, in systems
//! of which the analysis accepts some.
use super::model::{Doorbell, Model, Runs, Sandbox, Server, Set, Thread};
use crate::draw::{between, shares};
use fastrand::Rng;

/// Sandboxes, at most; a set that is voted on needs one more.
const SANDBOXES: usize = 3;
/// Servers of a sandbox, at most, beside those of drivers and of members of a set.
const SERVERS: usize = 12;
/// Threads of a server: few, several, or many.
const FEW: usize = 4;
const SEVERAL: usize = 16;
const MANY: usize = 40;
/// Threads of a sandbox that a further server of many is not added to.
const CROWDED: usize = 48;
/// Devices, at most: as many as there are ports.
const DEVICES: usize = 3;
/// Doorbells, at most.
const DOORBELLS: usize = 3;
/// Microseconds.
const US: u64 = 1_000;
/// Periods of servers without costs and with some, in which a budget is worth having.
const PERIODS: (u64, u64) = (100 * US, 20_000 * US);
const PERIODS_WITH_COSTS: (u64, u64) = (10_000 * US, 400_000 * US);
/// The shortest budget and execution time with costs.
const LEAST_BUDGET: u64 = 200 * US;
const LEAST_WCET: u64 = 5 * US;
/// What a job's release and end cost, about, which its share has to hold.
const ACTIVATION: u64 = 20 * US;
/// Of a core's time, what its servers take in one hundredths, and in systems that are gentle.
const LOAD: (u64, u64) = (20, 95);
const GENTLE_LOAD: (u64, u64) = (15, 70);
/// Of a budget, what its threads ask for in one hundredths: the most is more than there is.
const WANTED: (u64, u64) = (30, 104);
const GENTLE_WANTED: (u64, u64) = (20, 80);
/// A deadline that is far.
const FAR: u64 = 64;
/// Explicit jobs of a thread, at most.
const JOBS: usize = 24;

/// The platform that only holds interrupts off, at the worst.
pub(super) const SECTIONS: &str = "sections";

/// Draws the system of `seed`.
pub(super) fn draw(random: &mut Rng, seed: u64) -> Model {
    let set = match random.u8(..8) {
        0 => Some(true),
        1..=3 => Some(false),
        _ => None,
    };
    let count = match set {
        Some(true) => SANDBOXES + 1,
        Some(false) => random.usize(2..=SANDBOXES),
        None => random.usize(1..=SANDBOXES),
    };
    let platform = match random.u8(..8) {
        0 | 1 => "bochs-intel",
        2 | 3 => "bochs-amd",
        4 | 5 => SECTIONS,
        _ => "none",
    };
    let mut drawing = Drawing {
        costs: platform.starts_with("bochs"),
        far: random.u8(..4) > 0,
        gentle: random.u8(..5) > 1,
        random,
        devices: 0,
        sandboxes: vec![Sandbox::default(); count],
    };
    // Systems of several large sandboxes are hardly ever accepted as a whole.
    let most = SERVERS / count.min(SANDBOXES);
    for number in 0..count {
        let servers = drawing.random.usize(1..=most);
        drawing.sandboxes[number] = drawing.sandbox(servers);
    }
    drawing.devices();
    let sets: Vec<_> = set.map(|voted| drawing.set(voted)).into_iter().collect();
    for number in 0..count {
        drawing.priorities(number);
    }

    let doorbells = match drawing.random.bool() {
        true => drawing.random.usize(1..=DOORBELLS),
        false => 0,
    };
    let doorbells = (0..doorbells).map(|_| drawing.doorbell(count)).collect();
    Model {
        seed,
        platform,
        sandboxes: drawing.sandboxes,
        devices: drawing.devices,
        doorbells,
        sets,
    }
}

struct Drawing<'r> {
    random: &'r mut Rng,
    /// Whether activations cost something.
    costs: bool,
    /// Whether deadlines are far, so that what is accepted is what has bounds.
    far: bool,
    /// Whether it asks for so little that it may be accepted.
    gentle: bool,
    devices: usize,
    sandboxes: Vec<Sandbox>,
}

impl Drawing<'_> {
    fn one_in(&mut self, count: u8) -> bool {
        self.random.u8(..count) == 0
    }

    fn hundredths(&mut self, (least, most): (u64, u64)) -> f64 {
        self.random.u64(least..=most) as f64 / 100.0
    }

    fn least(&self, with_costs: u64) -> u64 {
        if self.costs { with_costs } else { 1 }
    }

    fn sandbox(&mut self, count: usize) -> Sandbox {
        let load = self.hundredths(if self.gentle { GENTLE_LOAD } else { LOAD });
        let periods = match self.costs {
            true => PERIODS_WITH_COSTS,
            false => PERIODS,
        };
        let harmonic = self.one_in(3);
        let blocking = match self.one_in(5) {
            true => between(self.random, (10 * US, 500 * US)),
            false => 0,
        };
        let mut sandbox = Sandbox::default();
        for share in shares(self.random, count, load) {
            let period = match harmonic {
                true => periods.1 >> self.random.u32(..5),
                false => between(self.random, periods),
            };
            let period = if self.one_in(3) {
                period
            } else {
                period / US * US
            };
            let crowd = sandbox.servers.iter().map(|it| it.threads.len()).sum();
            let server = self.server(period, share, crowd);
            sandbox.servers.push(Server { blocking, ..server });
        }
        sandbox
    }

    fn server(&mut self, period: u64, share: f64, crowd: usize) -> Server {
        let least = self.least(LEAST_BUDGET);
        let budget = ((period as f64 * share) as u64).clamp(least, period);
        let count = match self.random.u8(..10) {
            0 => 0,
            1..=2 => 1,
            3..=5 => self.random.usize(2..=FEW),
            6..=7 if crowd < CROWDED => self.random.usize(FEW + 1..=SEVERAL),
            8..=9 if crowd < CROWDED => self.random.usize(SEVERAL + 1..=MANY),
            _ => 2,
        };
        let wanted = budget as f64 / period as f64
            * self.hundredths(if self.gentle { GENTLE_WANTED } else { WANTED });
        let shares = shares(self.random, count, wanted);
        let threads = shares.into_iter();
        let threads: Vec<_> = threads
            .map(|share| self.thread(period, budget, share, count))
            .collect();
        Server {
            io: self.one_in(6),
            budget,
            period,
            deadline: self.deadline(period, budget),
            jitter: match self.one_in(4) {
                true => self.random.u64(1..=period / 2),
                false => 0,
            },
            blocking: 0,
            priority: None,
            threads,
        }
    }

    /// A deadline of what comes with `period`: that, before it, beyond it, or far.
    fn deadline(&mut self, period: u64, least: u64) -> u64 {
        match self.random.u8(..4) {
            _ if self.far => period * FAR,
            0 => period,
            1 => self.random.u64(least.min(period)..=period),
            2 => period * self.random.u64(2..=8),
            _ => period * FAR,
        }
    }

    fn thread(&mut self, server: u64, budget: u64, share: f64, beside: usize) -> Thread {
        let slower = 2 + beside as u64;
        let period = match self.random.u8(..4) {
            0 => server * self.random.u64(1..=slower),
            1 => (server / self.random.u64(2..=4)).max(1),
            _ => between(self.random, (server / 2 + 1, server * slower)),
        };
        let least = self.least(LEAST_WCET);
        let costs = if self.costs { ACTIVATION } else { 0 };
        let wcet = ((period as f64 * share) as u64)
            .saturating_sub(costs)
            .max(least);
        let deadline = self.deadline(period, wcet);
        let jobs = match self.one_in(10) {
            true => self.jobs(wcet, period),
            false => Vec::new(),
        };
        let runs = match jobs.is_empty() && self.one_in(4) {
            true => Runs::Program,
            false => Runs::Nothing,
        };
        // What fits into a budget now and then takes just that.
        let wcet = if wcet < budget && !self.gentle && self.one_in(6) && beside == 1 {
            budget
        } else {
            wcet
        };
        Thread {
            wcet,
            period,
            deadline,
            offset: match self.random.bool() {
                true => 0,
                false => self.random.u64(..period),
            },
            jobs,
            runs,
        }
    }

    /// Jobs that come no closer than `period`, and take `wcet` at most.
    fn jobs(&mut self, wcet: u64, period: u64) -> Vec<(u64, u64)> {
        let mut at = self.random.u64(..period);
        let mut jobs = Vec::new();
        for _ in 0..self.random.usize(1..=JOBS) {
            let work = match self.one_in(3) {
                true => self.random.u64(1..=wcet),
                false => wcet,
            };
            jobs.push((at, work));
            let later = match self.one_in(3) {
                true => self.random.u64(..=2 * period),
                false => 0,
            };
            at += period + later;
        }
        jobs
    }

    /// Devices with their drivers, each in a server of its own or beside other threads; what is
    /// at the other end of some is simulated in another sandbox.
    fn devices(&mut self) {
        if self.random.bool() {
            return;
        }
        for device in 0..self.random.usize(1..=DEVICES) {
            let owner = self.random.usize(..self.sandboxes.len());
            self.devices += 1;
            self.sandboxes[owner].devices.push(device);
            self.drive(device, owner);
            let other = (owner + 1) % self.sandboxes.len();
            if other != owner && self.one_in(3) {
                let servers = &self.sandboxes[other].servers;
                let place = self.random.usize(..servers.len());
                let (period, budget) = (servers[place].period, servers[place].budget);
                let mut plant = self.thread(period, budget, 0.01, 2);
                (plant.runs, plant.jobs) = (Runs::Plant(device), Vec::new());
                self.sandboxes[other].servers[place].threads.push(plant);
            }
        }
    }

    fn drive(&mut self, device: usize, owner: usize) {
        let periods = if self.costs {
            (10_000 * US, 100_000 * US)
        } else {
            (200 * US, 8_000 * US)
        };
        let period = between(self.random, periods);
        let share = self.random.u64(2..=15);
        let costs = if self.costs { 3 * ACTIVATION } else { 0 };
        let budget = (period * share / 100 + costs).clamp(2, period);
        let wcet = (budget - costs.min(budget - 1)) * self.random.u64(50..=100) / 100;
        let driver = Thread {
            wcet: wcet.max(1),
            period: match self.one_in(3) {
                true => period * self.random.u64(1..=3),
                false => period,
            },
            deadline: period * FAR,
            offset: 0,
            jobs: Vec::new(),
            runs: Runs::Driver(device),
        };
        let servers = &mut self.sandboxes[owner].servers;
        if servers.len() > 1 && !self.gentle && self.random.u8(..3) == 0 {
            let place = self.random.usize(..servers.len());
            servers[place].threads.insert(0, driver);
            return;
        }
        let (io, blocking) = (self.random.u8(..4) > 0, servers[0].blocking);
        servers.push(Server {
            io,
            budget,
            period,
            deadline: period,
            jitter: 0,
            blocking,
            priority: None,
            threads: vec![driver],
        });
    }

    /// A replica set: its voter in the first sandbox, a copy in each that it needs of the others.
    /// The voter sends through a device there, if its driver is in a server that may inherit.
    fn set(&mut self, voted: bool) -> Set {
        let periods = if self.costs {
            (50_000 * US, 400_000 * US)
        } else {
            (1_000 * US, 40_000 * US)
        };
        let period = between(self.random, periods);
        let (ballot, verdict) = (period * 4 / 10, period * 7 / 10);
        let copies = if voted { 3 } else { 1 };
        for sandbox in 1..=copies {
            let budget = (period / 30).max(self.least(LEAST_BUDGET * 4));
            let replica = Thread {
                wcet: (budget / 4).max(1),
                period,
                deadline: ballot,
                runs: Runs::Replica(0),
                ..Thread::default()
            };
            self.member(sandbox, budget, period, replica);
        }
        let budget = (period / 40).max(self.least(LEAST_BUDGET));
        let voter = Thread {
            wcet: (budget / 3).max(1),
            period,
            deadline: verdict - ballot,
            offset: ballot,
            runs: Runs::Voter(0),
            ..Thread::default()
        };
        let device = self.inheriting(period);
        self.member(0, budget, period, voter);
        Set {
            voted,
            sha256: self.one_in(4),
            repairs: self.random.u8(..4) > 0,
            repair_pages: self.random.u64(1..=4),
            period,
            ballot_deadline: ballot,
            verdict_deadline: verdict,
            device,
        }
    }

    /// A device of the first sandbox whose driver's server inherits a period no shorter than its
    /// own, as a description must keep to.
    fn inheriting(&mut self, period: u64) -> Option<usize> {
        let servers = &mut self.sandboxes[0].servers;
        servers
            .iter_mut()
            .filter(|it| it.io && it.period <= period)
            .find_map(|server| {
                let mut drivers = server.threads.iter();
                let device = drivers.find_map(|it| match it.runs {
                    Runs::Driver(device) => Some(device),
                    _ => None,
                })?;
                server.deadline = server.deadline.min(server.period);
                Some(device)
            })
    }

    /// A member of a set, alone in a server.
    fn member(&mut self, sandbox: usize, budget: u64, period: u64, thread: Thread) {
        let blocking = self.sandboxes[sandbox].servers[0].blocking;
        self.sandboxes[sandbox].servers.push(Server {
            io: false,
            budget,
            period,
            deadline: period,
            jitter: 0,
            blocking,
            priority: None,
            threads: vec![thread],
        });
    }

    /// Priorities of a sandbox: by period, which is written for nobody; by deadline; or any.
    fn priorities(&mut self, sandbox: usize) {
        let servers = &mut self.sandboxes[sandbox].servers;
        let mut order: Vec<usize> = (0..servers.len()).collect();
        match self.random.u8(..4) {
            0 if !self.gentle => self.random.shuffle(&mut order),
            1 => order.sort_by_key(|place| servers[*place].deadline),
            _ => return,
        }
        for (priority, place) in (1..).zip(order) {
            servers[place].priority = Some(priority);
        }
    }

    fn doorbell(&mut self, sandboxes: usize) -> Doorbell {
        let mut readers: Vec<_> = (0..sandboxes).filter(|_| self.random.bool()).collect();
        if readers.is_empty() {
            readers.push(self.random.usize(..sandboxes));
        }
        Doorbell {
            interval: between(self.random, (100 * US, 20_000 * US)),
            readers,
        }
    }
}
