//! Ctrl-C: noticed by loops that wait for a machine, so that what it left behind is cleaned up.
use crate::error::{Context, Error, Result};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

static ASKED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From here on an interrupt no longer ends the process: loops have to [`check`].
///
/// # Errors
/// If the signals cannot be caught.
pub fn catch() -> Result<()> {
    let asked = ASKED.get_or_init(Arc::default);
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(asked))
            .context(|| "catching signals".into())?;
    }
    Ok(())
}

/// Whether there was one.
#[must_use]
pub fn asked() -> bool {
    ASKED.get().is_some_and(|it| it.load(Ordering::Relaxed))
}

/// Goes on unless there was one.
///
/// # Errors
/// If so.
pub fn check() -> Result<()> {
    if asked() {
        return Err(Error::failure("interrupted"));
    }
    Ok(())
}
