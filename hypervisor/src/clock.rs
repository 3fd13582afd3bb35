//! The machine's time: how fast the timestamp counter and the APIC timer run.
use tern_firmware::acpi::PowerTimer;
use tern_machine::apic::{self, LocalApic, Register};
use tern_machine::cpu::{cpuid_if_present, timestamp};
use tern_machine::port;
use tern_units::{Duration, TscFrequency};

/// Ticks a second of the ACPI power-management timer (ACPI 6.5 §4.8.3.3).
const POWER_TIMER_HERTZ: u64 = 3_579_545;
/// It counts at least 24 bits.
const POWER_TIMER_MASK: u32 = 0xff_ffff;
/// How long rates are measured.
const MEASURE_MILLIS: u64 = 50;
/// Tries to read two clocks at the same moment.
const CLOSEST_TRIES: u32 = 32;
/// Reads of a timer that does not move before it is given up.
const MAX_STILL_READS: u32 = 10_000_000;

/// The timestamp counter's rate: from CPUID leaf 15h where the processor tells it
/// (Intel SDM vol. 3 §19.7.3), measured against the power-management timer otherwise,
/// or if the two are too far apart: an emulator shows the leaf of the processor that it
/// models, and counts at a rate of its own. `None` without either.
#[must_use]
pub fn tsc_frequency(timer: Option<PowerTimer>) -> Option<TscFrequency> {
    let leaf = cpuid_if_present(0x15);
    let told = told_hertz(leaf.eax, leaf.ebx, leaf.ecx);
    let measured = timer.and_then(measured_hertz);
    TscFrequency::from_hertz(choose(told, measured)?)
}

/// The rate that leaf 15h tells: the crystal's in ECX times EBX over EAX.
fn told_hertz(denominator: u32, numerator: u32, crystal: u32) -> Option<u64> {
    (denominator != 0 && numerator != 0 && crystal != 0)
        .then(|| u64::from(crystal) * u64::from(numerator) / u64::from(denominator))
}

/// What is told, which is exact, unless it is more than 1 % off what is measured.
fn choose(told: Option<u64>, measured: Option<u64>) -> Option<u64> {
    match (told, measured) {
        (Some(told), Some(measured)) if told.abs_diff(measured) > measured / 100 => Some(measured),
        _ => told.or(measured),
    }
}

fn measured_hertz(timer: PowerTimer) -> Option<u64> {
    // SAFETY: reading the timer changes nothing.
    let read = || unsafe { port::read_u32(timer.port) } & POWER_TIMER_MASK;
    let passed = |from: u32, to: u32| u64::from(to.wrapping_sub(from) & POWER_TIMER_MASK);
    let (first, first_tsc) = closest(read);
    let (mut last, mut still) = (first, 0);
    while passed(first, last) < POWER_TIMER_HERTZ * MEASURE_MILLIS / 1000 {
        let now = read();
        still = if now == last { still + 1 } else { 0 };
        if still > MAX_STILL_READS {
            return None;
        }
        last = now;
    }
    let (last, last_tsc) = closest(read);
    let ticks = u128::from(last_tsc - first_tsc);
    Some((ticks * u128::from(POWER_TIMER_HERTZ) / u128::from(passed(first, last))) as u64)
}

/// A value and the timestamp at which it was read: of several tries the one that took
/// least, as an emulator's host may be busy in between.
fn closest(read: impl Fn() -> u32) -> (u32, u64) {
    let tries = (0..CLOSEST_TRIES).map(|_| {
        let before = timestamp();
        let value = read();
        let took = timestamp() - before;
        (took, value, before + took / 2)
    });
    let best = tries.min_by_key(|&(took, ..)| took);
    best.map_or_else(|| (read(), timestamp()), |(_, value, tsc)| (value, tsc))
}

/// Ticks a second of this core's APIC timer at divider 1.
#[must_use]
pub fn apic_timer_hertz(local: LocalApic, tsc: TscFrequency) -> u64 {
    let span = tsc.to_ticks(Duration::from_millis(MEASURE_MILLIS));
    // SAFETY: the hypervisor owns the APIC until the sandbox starts; the timer's entry
    // is masked.
    unsafe {
        local.write(Register::LVT_TIMER, apic::LVT_MASKED);
        local.write(Register::TIMER_DIVIDE, apic::DIVIDE_BY_1);
        local.write(Register::TIMER_INITIAL, u32::MAX);
        let (first, start) = closest(|| local.read(Register::TIMER_CURRENT));
        wait(span);
        let (last, end) = closest(|| local.read(Register::TIMER_CURRENT));
        let ticks = end - start;
        local.write(Register::TIMER_INITIAL, 0);
        (u128::from(first - last) * u128::from(tsc.hertz()) / u128::from(ticks)) as u64
    }
}

/// Waits for `ticks` of the timestamp counter.
pub fn wait(ticks: u64) {
    let start = timestamp();
    while timestamp().wrapping_sub(start) < ticks {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_processor_tells_counts_unless_it_cannot_be_true() {
        assert_eq!(told_hertz(2, 126, 38_400_000), Some(2_419_200_000));
        assert_eq!(told_hertz(2, 126, 0), None);
        for (told, measured, chosen) in [
            (
                Some(2_419_200_000),
                Some(2_419_000_123),
                Some(2_419_200_000),
            ),
            (Some(2_419_200_000), Some(99_999_950), Some(99_999_950)),
            (Some(2_419_200_000), None, Some(2_419_200_000)),
            (None, Some(99_999_950), Some(99_999_950)),
            (None, None, None),
        ] {
            assert_eq!(choose(told, measured), chosen);
        }
    }
}
