//! Whether the machine's run is over: a flag that every core may ask for.
use core::sync::atomic::{AtomicBool, Ordering};

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
