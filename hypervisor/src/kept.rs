//! The two model-specific registers that both vendors keep for a guest: what a guest
//! may write to them.
use crate::guest::Refused;

/// Extended features.
pub const MSR_EFER: u32 = 0xc000_0080;
/// Page attribute table.
pub const MSR_PAT: u32 = 0x277;

/// Reset value of the page attribute table (AMD APM vol. 2 §7.8.2, Intel SDM vol. 3
/// table 12-12).
pub const PAT_RESET: u64 = 0x0007_0406_0007_0406;

const EFER_SCE: u64 = 1;
/// Long mode is enabled.
pub const EFER_LME: u64 = 1 << 8;
/// Long mode is active.
pub const EFER_LMA: u64 = 1 << 10;
const EFER_NXE: u64 = 1 << 11;

/// What EFER becomes when a guest whose EFER is `current` writes `value`.
///
/// # Errors
/// If the processor would not accept it: LMA follows LME and paging, software does not
/// change it, and LME only without paging (AMD APM vol. 2 §3.1.7).
pub fn efer(current: u64, value: u64, paging: bool) -> Result<u64, Refused> {
    let allowed = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
    let changed = value ^ current;
    if value & !allowed != 0 || (changed & EFER_LME != 0 && paging) {
        return Err(Refused);
    }
    Ok(value & !EFER_LMA | current & EFER_LMA)
}

/// What the page attribute table becomes when a guest writes `value`.
///
/// # Errors
/// If it names the reserved memory types 2 and 3, or types beyond 7.
pub fn pat(value: u64) -> Result<u64, Refused> {
    let sound = value
        .to_le_bytes()
        .iter()
        .all(|kind| matches!(kind, 0 | 1 | 4..=7));
    if sound { Ok(value) } else { Err(Refused) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_changes_of_efer_what_is_its_own() {
        for (current, value, paging, result, what) in [
            (0, 0x900, false, Ok(0x900), "enables long mode"),
            (0xd00, 0x901, true, Ok(0xd01), "LMA stays"),
            (
                0x500,
                0x400,
                true,
                Err(Refused),
                "leaves long mode while paging",
            ),
            (0, 0x1000, false, Err(Refused), "virtualization"),
            (
                0,
                1 << 13,
                false,
                Err(Refused),
                "segment limits in long mode",
            ),
            (
                0,
                1 << 14,
                false,
                Err(Refused),
                "FXSAVE without SSE registers",
            ),
            (0, 1 << 17, false, Err(Refused), "MCOMMIT"),
            (0, 1 << 21, false, Err(Refused), "control of speculation"),
            (0, 1 << 63, false, Err(Refused), "a reserved bit"),
        ] {
            assert_eq!(efer(current, value, paging), result, "{what}");
        }
    }

    #[test]
    fn reserved_memory_types_are_refused() {
        assert_eq!(pat(PAT_RESET), Ok(PAT_RESET));
        assert_eq!(pat(0x02), Err(Refused));
        assert_eq!(pat(0x08), Err(Refused));
    }
}
