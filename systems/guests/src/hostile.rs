//! A guest that attacks.
#![no_std]
#![no_main]

tern_guests::guest!();

/// Called by the entry code.
#[unsafe(no_mangle)]
extern "C" fn start(_information: u64, _protocol: u64) -> ! {
    tern_machine::cpu::halt_forever()
}
