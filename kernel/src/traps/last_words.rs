//! The kernel's last words. Whatever goes wrong in it is said on the console and ends
//! this sandbox alone.
use crate::console::{Text, make_room};
use crate::hypercall::{StopReason, stop};
use crate::thread;
use core::arch::asm;
use core::fmt;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

static mut LAST_WORDS: Text = Text::new();
static SPEAKING: AtomicBool = AtomicBool::new(false);

/// Writes one line from any state of the kernel; only the first caller is heard.
pub fn say_last_words(words: fmt::Arguments<'_>) {
    // SAFETY: no interrupt may come between now and the end.
    unsafe { asm!("cli", options(nomem, nostack)) };
    if !SPEAKING.swap(true, Ordering::Relaxed) {
        make_room();
        let text = &raw mut LAST_WORDS;
        // SAFETY: a static, used once: by the first that gets here, interrupts off.
        unsafe {
            (*text).format(words);
            (*text).send();
        }
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let message = info.message();
    let running = thread::running_name();
    match info.location() {
        Some(place) => say_last_words(format_args!(
            "kernel panic in {running}: {message} ({}:{})",
            place.file(),
            place.line()
        )),
        None => say_last_words(format_args!("kernel panic in {running}: {message}")),
    }
    stop(StopReason::Panic)
}
