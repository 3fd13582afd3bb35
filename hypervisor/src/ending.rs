//! Whether the machine's run is over, and how a core rests: what every core may ask for.
use core::sync::atomic::{AtomicBool, Ordering};
use tern_machine::cpu::{halt_forever, read_msr};

static ENDING: AtomicBool = AtomicBool::new(false);

/// Returns whether the machine's run is over.
#[must_use]
pub fn is_ending() -> bool {
    ENDING.load(Ordering::Acquire)
}

/// Says that the run is over, and returns whether the caller is the first to say so.
pub fn begin() -> bool {
    !ENDING.swap(true, Ordering::AcqRel)
}

/// Lets system management interrupts and NMIs reach this core, which the exit of a guest under
/// AMD-V holds back. The firmware makes all cores meet in the former: a core that held them back
/// would stop all others.
pub fn open_global_interrupts() {
    const EFER: u32 = 0xc000_0080;
    const SVM_ENABLED: u64 = 1 << 12;
    // SAFETY: every processor with long mode has the register. With AMD-V enabled the flag may
    // be set anywhere: this core's interrupt table handles NMI on a stack of its own, and
    // interrupts are masked in the flags.
    unsafe {
        if read_msr(EFER) & SVM_ENABLED != 0 {
            core::arch::asm!("stgi", options(nomem, nostack));
        }
    }
}

/// Stops this core for good. Its sources of interrupts are masked, or it has had none yet.
pub fn rest() -> ! {
    open_global_interrupts();
    halt_forever()
}
