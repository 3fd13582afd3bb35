//! What is asked of a server: the work of its threads, and what the kernel's own work takes of
//! its budget.
use super::charge::Charge;
use super::cost::{CostTable, KernelWork};
use super::level::Level;
use super::model::{ServerModel, ThreadModel};
use super::search::{Ending, Steps, least_fixed_point, utilization};
use crate::ServerKind;

/// The threads of a server, with what the kernel's own work for them costs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand<'a> {
    pub(super) server: &'a ServerModel,
    pub(super) threads: &'a [ThreadModel],
    /// What an activation costs.
    activation: u64,
}

impl<'a> Demand<'a> {
    pub(super) fn new(
        server: &'a ServerModel,
        threads: &'a [ThreadModel],
        work: &KernelWork,
    ) -> Self {
        Self {
            server,
            threads,
            activation: work.activation,
        }
    }

    /// The jobs of a thread, each with the activations of its server that it is the cause of.
    pub(super) fn of(&self, thread: &ThreadModel) -> Charge {
        let wakes = self.activation.saturating_mul(u64::from(thread.wakes));
        Charge {
            each: thread.wcet.as_nanos().saturating_add(wakes),
            period: thread.period.as_nanos().max(1),
            jitter: self.lateness(thread),
        }
    }

    /// What a job takes until it is done: it may wake its server again after that.
    pub(super) fn until_done(&self, thread: &ThreadModel) -> u64 {
        thread.wcet.as_nanos().saturating_add(self.activation)
    }

    /// By how much a job may be released later than it arrives.
    pub(super) fn lateness(&self, thread: &ThreadModel) -> u64 {
        let of_server = self.server.jitter.as_nanos();
        thread.jitter.as_nanos().saturating_add(of_server)
    }

    /// α: what arrives in a half-open window of this length, of some of the threads.
    pub(super) fn within(
        &self,
        threads: &[ThreadModel],
        window: u64,
        steps: &mut Steps,
    ) -> Result<u64, Ending> {
        steps.take(threads.len())?;
        Ok(threads.iter().fold(0_u64, |sum, thread| {
            sum.saturating_add(self.of(thread).within(window))
        }))
    }

    /// How often the server is woken at most in a half-open window of this length.
    fn wakes(&self, window: u64) -> u64 {
        self.threads.iter().fold(0, |sum: u64, thread| {
            let jobs = self.of(thread).arrivals(window);
            sum.saturating_add(jobs.saturating_mul(u64::from(thread.wakes)))
        })
    }

    /// In how many pieces budget may return in a period to the server while it waits for it: no more
    /// often than it becomes active. In a period without wakes that may be each time.
    pub(super) fn returns(&self) -> u64 {
        u64::from(self.server.activations.max(1))
    }

    /// The share of the core that some of the threads ask for, each part rounded down.
    pub(super) fn share(&self, threads: &[ThreadModel]) -> u128 {
        let shares = threads.iter().map(|thread| {
            let charge = self.of(thread);
            utilization(charge.each, charge.period)
        });
        shares.fold(0, u128::saturating_add)
    }

    /// Whether the server is a sporadic one whose threads never ask for more than its budget
    /// in any of its periods, whatever they are charged for meanwhile. Then it is never without
    /// budget, and as good as its own level.
    ///
    /// α(T) ≤ C, α(x) = Σ ⌈(x + J)/P⌉·e. *Proof.* Suppose it runs out at t for the first time.
    /// Then C was used that was activated after t − T. On a core of its own the output in any
    /// [s, s + T) is at most that in [b, b + T) with b the start of the busy period, so at most
    /// α(T). Others that run meanwhile only move output to later, and chunks are activated no
    /// later than they would be (rule 4: at a wake, not when the server gets the core): a chunk
    /// that is used late is back early. So no more than α(T) ≤ C is on its way back at any
    /// instant, and of exactly C the last unit was used as the first came back.
    ///
    /// It needs the whole budget at the start, room for the replenishments
    /// and no minimum budget.
    pub(super) fn is_within_budget(&self, level: &mut Level<'_>, steps: &mut Steps) -> bool {
        let period = self.server.period.as_nanos();
        let budget = self.server.budget.as_nanos();
        if self.server.kind != ServerKind::Sporadic || !self.server.is_valid() {
            return false;
        }
        let taken = self.within(self.threads, period, steps).and_then(|work| {
            let stretches = self.wakes(period);
            match work <= budget {
                true => taken(level, self.activation, work, period, stretches, steps),
                false => Ok(work),
            }
        });
        taken.is_ok_and(|taken| taken <= budget) || self.is_in_step(level, steps).unwrap_or(false)
    }

    /// Whether the server has one thread, whose jobs come no closer than its period, and each is
    /// done before the next comes and takes no more than the budget.
    ///
    /// Then each job finds the budget whole: what its predecessor took was activated at that
    /// one's wake, and is back a period after that (Sprunt, Sha, Lehoczky 1989, theorem 2). Of
    /// what the kernel does for others only what comes while the job is there counts.
    fn is_in_step(&self, level: &mut Level<'_>, steps: &mut Steps) -> Result<bool, Ending> {
        let [thread] = self.threads else {
            return Ok(false);
        };
        let job = self.of(thread);
        let apart = job.period.saturating_sub(job.jitter);
        if apart < self.server.period.as_nanos() || level.is_overloaded_by(job.each, apart) {
            return Ok(false);
        }
        let end = level.end_of(job.each, steps)?;
        let wakes = u64::from(thread.wakes);
        let taken = taken(level, self.activation, job.each, end, wakes, steps)?;
        Ok(end <= apart && taken <= self.server.budget.as_nanos())
    }

    /// In how many periods the server has certainly caught up with what arrived since it last
    /// had no work: the least k with α(kT + L) ≤ kC, where its supply is late by L, of each
    /// budget `left` is for its threads, and α holds what the activations of others take.
    pub(super) fn periods(
        &self,
        level: &Level<'_>,
        left: u64,
        late: u64,
        steps: &mut Steps,
    ) -> Result<u64, Ending> {
        let period = self.server.period.as_nanos();
        least_fixed_point(1, |periods| {
            let window = periods.saturating_mul(period).saturating_add(late);
            let work = self.within(self.threads, window, steps)?;
            let (interrupts, _) = level.interrupted(window, steps)?;
            let all = work.saturating_add(interrupts);
            Ok(all.div_ceil(left.max(1)))
        })
    }
}

/// What is charged at most to a server that has work of this amount in a window of this length,
/// in at most so many stretches without a break, and is never without budget.
///
/// The kernel's work for others is charged to whom it interrupts. So the server takes
/// x = work + a·Σ H(x), H how many activations of another find it running: while it is there,
/// and no more than all that come then, N. An interrupt finds *one* server running. So let two
/// activations of a sporadic server h that is activated once in a period come one after the
/// other while this one is in one of its stretches. From the one to the other are T − 2D at
/// least, D the longest non-preemptible section, and at the first nobody else of higher
/// priority has work. If no other is activated between them, the core is with h for C, and an
/// overrun D, at most, and else with this server: for s = T − C − 3D or longer. So
/// H(x) ≤ stretches + Σ N of the others + ⌊x/s⌋. At the instant at which the least x that
/// solves the equation has been charged, the work is done.
pub(super) fn taken(
    level: &Level<'_>,
    activation: u64,
    work: u64,
    window: u64,
    stretches: u64,
    steps: &mut Steps,
) -> Result<u64, Ending> {
    if activation == 0 {
        return Ok(work);
    }
    let kernel = level.kernel_work();
    let (all, _) = level.interrupted(window, steps)?;
    let all = all / activation;
    least_fixed_point(work, |taken| {
        steps.take(level.terms())?;
        let found = level.interferers().fold(0, |sum: u64, (server, _)| {
            let own = server.activations_in(window, kernel);
            let between = left_between(server, kernel).map_or(u64::MAX, |least| taken / least);
            let found = between
                .saturating_add(all.saturating_sub(own))
                .saturating_add(stretches);
            sum.saturating_add(own.min(found))
        });
        Ok(work.saturating_add(activation.saturating_mul(found)))
    })
}

/// What a server leaves to those below it from one activation to the next at least; `None`
/// where that is nothing, or not known.
fn left_between(server: &ServerModel, kernel: &KernelWork) -> Option<u64> {
    let regular = server.kind == ServerKind::Sporadic && server.activations <= 1;
    let left = server
        .period
        .as_nanos()
        .checked_sub(server.budget.as_nanos())?
        .checked_sub(kernel.section.saturating_mul(3))?
        .checked_sub(server.jitter.as_nanos())?;
    (regular && left > 0).then_some(left)
}

/// Whether a sporadic server has one thread, each job of which finds the budget whole and is done
/// before the next comes.
#[must_use]
pub fn is_in_step(
    servers: &[ServerModel],
    index: usize,
    threads: &[ThreadModel],
    costs: &CostTable,
) -> bool {
    let sporadic = |own: &&ServerModel| own.kind == ServerKind::Sporadic && own.is_valid();
    let Some(server) = servers.get(index).filter(sporadic) else {
        return false;
    };
    let mut level = Level::of(servers, index, server, costs);
    let mut steps = Steps::for_a_question();
    let demand = Demand::new(server, threads, &costs.into());
    let found = demand.is_in_step(&mut level, &mut steps);
    found.unwrap_or(false)
}
