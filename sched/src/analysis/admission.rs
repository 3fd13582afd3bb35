//! A test that is quick enough to admit a server at run time.
use super::model::ServerModel;
use crate::ServerKind;

/// n(2^(1/n) − 1) in units of 2⁻³², rounded down, for n from 1 to 16; the limit ln 2
/// from there on, which is below every value.
///
/// Liu and Layland, "Scheduling algorithms for multiprogramming in a hard-real-time
/// environment", 1973, theorem 5.
#[must_use]
pub const fn liu_layland_bound(servers: usize) -> u64 {
    const LN_2: u64 = 2_977_044_471;
    const BOUNDS: [u64; 17] = [
        4_294_967_296,
        4_294_967_296,
        3_558_067_407,
        3_349_057_226,
        3_250_553_484,
        3_193_272_858,
        3_155_822_954,
        3_129_427_399,
        3_109_822_014,
        3_094_685_642,
        3_082_646_743,
        3_072_842_872,
        3_064_704_547,
        3_057_840_596,
        3_051_973_442,
        3_046_900_662,
        3_042_471_161,
    ];
    if servers < BOUNDS.len() {
        BOUNDS[servers]
    } else {
        LN_2
    }
}

/// Whether servers with rate-monotonic priorities, D = T, and no jitter, blocking or
/// overheads are schedulable by their utilization alone: for n sporadic and m I/O servers
/// Σ C/T + Σ (2 − U)U ≤ n(2^(1/n) − 1).
///
/// Danish, Li, West, "Virtual-CPU scheduling in the Quest operating system", RTAS 2011,
/// theorem 1. Sufficient, not necessary; [`server_responses`](super::server_responses)
/// is the sharper test. Any jitter, blocking or constrained deadline answers false.
#[must_use]
pub fn admissible(servers: &[ServerModel]) -> bool {
    let mut total = 0_u64;
    let mut sporadic = 0;
    for server in servers {
        let plain = server.is_valid()
            && server.deadline >= server.period
            && server.jitter.is_zero()
            && server.blocking.is_zero();
        if !plain {
            return false;
        }
        let used = super::search::scale_up(1 << 32, server.cost(0), server.period.as_nanos());
        total = total.saturating_add(match server.kind {
            ServerKind::Sporadic => {
                sporadic += 1;
                used
            }
            ServerKind::Io => {
                let used = u128::from(used);
                u64::try_from((((2 << 32) - used) * used).div_ceil(1 << 32)).unwrap_or(u64::MAX)
            }
        });
    }
    total
        <= liu_layland_bound(if sporadic == 0 {
            servers.len()
        } else {
            sporadic
        })
}
