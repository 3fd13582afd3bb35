//! The machine's time: how fast the timestamp counter and the APIC timer run.
use crate::acpi::PowerTimer;
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
/// Reads of a timer that does not move before it is given up.
const MAX_STILL_READS: u32 = 10_000_000;

/// The timestamp counter's rate: from CPUID leaf 15h where the processor tells it
/// (Intel SDM vol. 3 §19.7.3), else measured against the power-management timer.
/// `None` without either.
#[must_use]
pub fn tsc_frequency(timer: Option<PowerTimer>) -> Option<TscFrequency> {
    let leaf = cpuid_if_present(0x15);
    let (denominator, numerator, crystal) = (leaf.eax, leaf.ebx, leaf.ecx);
    if denominator != 0 && numerator != 0 && crystal != 0 {
        let hertz = u64::from(crystal) * u64::from(numerator) / u64::from(denominator);
        return TscFrequency::from_hertz(hertz);
    }
    let timer = timer?;
    let (first_ticks, first_tsc) = next_tick(timer)?;
    let wanted = POWER_TIMER_HERTZ * MEASURE_MILLIS / 1000;
    loop {
        let (ticks, tsc) = next_tick(timer)?;
        let passed = u64::from(ticks.wrapping_sub(first_ticks) & POWER_TIMER_MASK);
        if passed >= wanted {
            let hertz =
                u128::from(tsc - first_tsc) * u128::from(POWER_TIMER_HERTZ) / u128::from(passed);
            return TscFrequency::from_hertz(hertz as u64);
        }
    }
}

/// The power timer's next value and the timestamp when it was first seen.
fn next_tick(timer: PowerTimer) -> Option<(u32, u64)> {
    // SAFETY: reading the timer changes nothing.
    let read = || unsafe { port::read_u32(timer.port) } & POWER_TIMER_MASK;
    let before = read();
    (0..MAX_STILL_READS)
        .map(|_| (read(), timestamp()))
        .find(|(now, _)| *now != before)
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
        let start = timestamp();
        let first = local.read(Register::TIMER_CURRENT);
        wait(span);
        let last = local.read(Register::TIMER_CURRENT);
        let ticks = timestamp() - start;
        local.write(Register::TIMER_INITIAL, 0);
        (u128::from(first - last) * u128::from(tsc.hertz()) / u128::from(ticks)) as u64
    }
}

/// Waits for `ticks` of the timestamp counter.
pub fn wait(ticks: u64) {
    let start = timestamp();
    while timestamp().wrapping_sub(start) < ticks {}
}
