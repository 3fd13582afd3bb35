//! Rules of what a trace says beside its records: counters by kind, and how many were lost.
use tern_trace::{Core, Kind};

/// A push that was stopped on its way has counted so many records that the head does not: a
/// loss record, the record, its continuation.
const MOST_AHEAD: u64 = 3;

/// The counters say how often each kind was written. Where nothing was lost, that is how often
/// it is there.
pub(in crate::read) fn counters(core: &Core) -> Result<(), String> {
    if core.losses() > 0 || !core.damage.is_empty() {
        return Ok(());
    }
    let mut found = [0_u64; Kind::COUNTERS];
    for record in &core.records {
        found[record.kind as usize] += 1;
    }
    let mut ahead = 0_u64;
    for &kind in Kind::ALL {
        let there = found[kind as usize];
        let counted = core.counters.get(kind as usize).copied().unwrap_or(0);
        ahead = ahead.saturating_add(counted.saturating_sub(there));
        if counted < there || ahead > MOST_AHEAD {
            return Err(format!(
                "{counted} {} records were written, and {there} are there",
                kind.name()
            ));
        }
    }
    Ok(())
}
