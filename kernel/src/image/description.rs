//! The system description that this sandbox booted with, and its own place in it.
use crate::memory::layout::DIRECT_BASE;
use crate::sync::boot_cell::BootOnce;
use core::ptr::NonNull;
use tern_config::{Image, InterruptPlan, Runs, Sandbox, System, channel_address};

#[derive(Debug)]
struct Description {
    image: Image<'static>,
    sandbox: usize,
}

static DESCRIPTION: BootOnce<Description> = BootOnce::new();

/// Keeps the description for good.
///
/// # Safety
/// Only during boot, once.
///
/// # Errors
/// If the description has no sandbox number `sandbox`.
pub unsafe fn initialize(image: Image<'static>, sandbox: usize) -> Result<(), &'static str> {
    if sandbox >= image.system().sandboxes.len() {
        return Err("the boot words name a sandbox that the system description does not have");
    }
    // SAFETY: the caller vouches that this is boot.
    unsafe { DESCRIPTION.set(Description { image, sandbox }) };
    Ok(())
}

/// The whole system.
#[must_use]
pub fn system() -> &'static System {
    DESCRIPTION.get().image.system()
}

/// This sandbox's position in it.
#[must_use]
pub fn sandbox_number() -> u32 {
    DESCRIPTION.get().sandbox as u32
}

/// This sandbox.
#[must_use]
pub fn sandbox() -> &'static Sandbox {
    &system().sandboxes[DESCRIPTION.get().sandbox]
}

/// How the lines of this sandbox's devices interrupt it.
#[must_use]
pub fn interrupt_plan() -> InterruptPlan {
    system().interrupt_plan(DESCRIPTION.get().sandbox)
}

/// Whether this sandbox's programs may read the timestamp counter, because its command
/// line has the word `timestamps`: it measures. Time differs between replicas, so a
/// sandbox that holds one may not.
///
/// # Errors
/// If it holds one.
pub fn reads_timestamps() -> Result<bool, &'static str> {
    let mut words = sandbox().command_line.split_whitespace();
    if !words.any(|word| word == "timestamps") {
        return Ok(false);
    }
    let is_replica = |runs: &Runs| matches!(runs, Runs::Replica(_));
    match sandbox().threads().any(|(_, _, it)| is_replica(&it.runs)) {
        false => Ok(true),
        true => Err("a sandbox with `timestamps` on its command line holds no replica"),
    }
}

/// A file of the image.
#[must_use]
pub fn file(name: &str) -> Option<&'static [u8]> {
    DESCRIPTION.get().image.file(name)
}

/// What this sandbox may do with a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Write and read it.
    Writer,
    /// Read it.
    Reader,
}

/// What this sandbox may do with the channel at `index`; `None` if it may not see it.
#[must_use]
pub fn channel_role(index: u32) -> Option<Role> {
    let channel = system().channels.get(index as usize)?;
    let own = sandbox_number();
    if channel.writer == own {
        Some(Role::Writer)
    } else if channel.readers.contains(&own) {
        Some(Role::Reader)
    } else {
        None
    }
}

/// The mapped memory of the channel at `index`: first word, number of words, and the
/// role. `None` if this sandbox may not see it. Others change it at any time: access
/// it by volatile or atomic reads and, as its writer alone, writes.
#[must_use]
pub fn channel_window(index: u32) -> Option<(NonNull<u64>, usize, Role)> {
    let role = channel_role(index)?;
    let channel = system().channels.get(index as usize)?;
    let address = channel_address(system(), index as usize)?;
    let first = NonNull::new((DIRECT_BASE + address.as_u64()) as *mut u64)?;
    Some((first, (channel.memory_bytes() / 8) as usize, role))
}
