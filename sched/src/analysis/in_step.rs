//! Threads that find their server's budget whole at every job.
use super::level::{Level, interferers};
use super::{
    CostTable, ServerContext, ServerModel, Steps, ThreadModel, least_fixed_point, scale_up,
};
use crate::ServerKind;
use tern_units::Duration;

/// The response time of a server's *only* thread, where each of its jobs finds the budget
/// whole, and so runs like one of a periodic task with the server's priority: the least
/// solution of R = B + e + a + Σ I(R), a for its activation (Joseph and Pandya 1986; Audsley
/// et al. 1993). `None` where it is not known to.
///
/// Let P be the least time from one arrival to the next, and x what a job takes of the
/// budget (its work, and what the kernel does for others meanwhile). If R ≤ P
/// and x ≤ C then by induction each job, which its predecessor is done by,
///
/// * in a *sporadic* server with T ≤ P finds all of C: what its predecessor took was
///   activated at that one's release, or at a return before it, so it returns T after that
///   release at the latest (rules 3 and 4; Sprunt, Sha, Lehoczky 1989, theorem 2);
/// * in an *I/O server* with ⌈xT/C⌉ ≤ P and R < P finds all of C: a predecessor that came at t
///   and took x, and was done before another came, gave up the rest until t + ⌈xT/C⌉ (Danish,
///   Li, West, RTAS 2011; U = C/T). No requester has a shorter period than its own, which the
///   description ensures.
///
/// As x ≤ C, no job waits for budget, and each is activated once.
#[must_use]
pub fn in_step_response(context: &ServerContext<'_>, thread: &ThreadModel) -> Option<Duration> {
    let own = context
        .servers
        .get(context.index)
        .filter(|own| own.is_valid())?;
    let late = thread.jitter.saturating_add(own.jitter);
    let apart = thread.period.checked_sub(late)?;
    let job = ServerModel {
        budget: thread.wcet,
        period: apart,
        activations: 1,
        ..*own
    };
    let mut level = Level::of(context.servers, context.index, own, context.costs);
    if !thread.suspension.is_zero() || level.is_overloaded(&job) {
        return None;
    }
    let mut steps = Steps::new();
    let work = level.cost(&job);
    let end = level.end_of(work, &mut steps)?;
    let taken = taken(context, work, end, &mut steps)?;
    let (budget, period) = (own.budget.as_nanos(), own.period.as_nanos());
    // By when the server must be done and have its budget back.
    let again = match own.kind {
        ServerKind::Sporadic => period.max(end),
        ServerKind::Io => scale_up(taken, period, budget).max(end.saturating_add(1)),
    };
    let whole = taken <= budget && again <= apart.as_nanos();
    whole.then(|| Duration::from_nanos(end).saturating_add(late))
}

/// What is charged at most to a server that has work of this amount, its own activation
/// included, and is there for `window`, never without budget.
///
/// The kernel's work for others is charged to whom it interrupts. So the server takes
/// x = work + a·Σ H(x), H how many activations of another find it running: while it is there,
/// and no more than all that come then, N. An interrupt finds *one* server running. So let two
/// activations of a sporadic server h that is activated once in a period come one after the
/// other while this one runs. From the one to the other are T − 2D at least, D the longest
/// non-preemptible section, and at the first nobody else of higher priority has work. If no
/// other is activated between them, the core is with h for C, and an overrun D, at most, and
/// else with this server: for s = T − C − 3D or longer. So
/// H(x) ≤ 1 + Σ N of the others + ⌊x/s⌋. At the instant at which the least x that solves the
/// equation has been charged, the work is done.
fn taken(context: &ServerContext<'_>, work: u64, window: u64, steps: &mut Steps) -> Option<u64> {
    let costs = context.costs;
    let all = interferers(context.servers, context.index).fold(0, |sum: u64, server| {
        sum.saturating_add(server.activations_in(window, costs))
    });
    let each = costs.activation().as_nanos();
    least_fixed_point(work, steps, |taken, _| {
        let found = interferers(context.servers, context.index).fold(0, |sum: u64, server| {
            let own = server.activations_in(window, costs);
            let between = left_between(server, costs).map_or(u64::MAX, |least| taken / least);
            sum.saturating_add(own.min(between.saturating_add(all - own).saturating_add(1)))
        });
        Some(work.saturating_add(each.saturating_mul(found)))
    })
}

/// What a server leaves to those below it from one activation to the next at least; `None`
/// where that is nothing, or not known.
fn left_between(server: &ServerModel, costs: &CostTable) -> Option<u64> {
    let regular = server.kind == ServerKind::Sporadic && server.activations <= 1;
    let late = costs.longest_non_preemptible.saturating_mul(3);
    let left = server
        .period
        .checked_sub(server.budget)?
        .checked_sub(late)?
        .checked_sub(server.jitter)?;
    (regular && !left.is_zero()).then_some(left.as_nanos())
}
