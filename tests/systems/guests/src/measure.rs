//! A guest that measures what the hypervisor costs: the smallest hypercall and CPUID, from
//! RDTSC to RDTSC, in ticks of the timestamp counter.
#![no_std]
#![no_main]

use core::fmt::Write;
use tern_abi::hypercall::Hypercall;
use tern_guests::Guest;
use tern_machine::cpu::{cpuid, halt_forever, timestamp};

tern_guests::guest!();

const ROUNDS: usize = 2000;

/// Called by the entry code.
#[unsafe(no_mangle)]
extern "C" fn start(information: u64, _protocol: u64) -> ! {
    // SAFETY: the entry code hands over what PVH gave it.
    let Some(mut guest) = (unsafe { Guest::read(information) }) else {
        halt_forever()
    };
    let empty = measure(|| ());
    let call = measure(|| {
        guest.call(Hypercall::Null as u64, 0, 0);
    });
    let identification = measure(|| {
        let _ = cpuid(0, 0);
    });
    for (what, [least, median, most]) in [
        ("nothing", empty),
        ("hypercall", call),
        ("cpuid", identification),
    ] {
        // A console that fails is what the test then sees.
        let _ = writeln!(guest, "{what}: {least} {median} {most} ticks");
    }
    guest.shut_down(0)
}

/// Least, median and most ticks of `what`, the measurement itself included.
fn measure(what: impl Fn()) -> [u64; 3] {
    let mut samples = [0; ROUNDS];
    for sample in &mut samples {
        let before = timestamp();
        what();
        *sample = timestamp() - before;
    }
    samples.sort_unstable();
    [samples[0], samples[ROUNDS / 2], samples[ROUNDS - 1]]
}
