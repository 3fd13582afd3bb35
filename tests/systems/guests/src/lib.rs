//! What the test guests share: their start information, hypercalls, a console and an
//! interrupt table.
#![no_std]

pub mod samples;

use core::arch::asm;
use core::cell::UnsafeCell;
use core::fmt::{self, Write};
use tern_abi::boot::{SandboxBoot, Vendor};
use tern_abi::directory::ExitReason;
use tern_abi::hypercall::Hypercall;
use tern_abi::layout::{CHANNEL_BASE, EXIT_COUNTS_BASE, IMAGE_BASE, TRACE_BASE};
use tern_machine::cpu::timestamp;
use tern_machine::pvh;

/// What the hypervisor told this guest.
#[derive(Clone, Copy, Debug)]
pub struct Guest {
    /// Facts about the machine.
    pub boot: SandboxBoot,
    /// The command line of the description.
    pub command_line: &'static str,
}

impl Guest {
    /// Reads the start information.
    ///
    /// # Safety
    /// `information` is what the PVH entry received, and memory is mapped to itself.
    #[must_use]
    pub unsafe fn read(information: u64) -> Option<Self> {
        // SAFETY: as the caller vouches.
        let start = unsafe { pvh::Start::read(information, 0) }?;
        map_windows();
        let module = start.modules().nth(1)?;
        // SAFETY: module 1 holds the words of `SandboxBoot`.
        let words =
            unsafe { (module.address as *const [u64; SandboxBoot::WORDS]).read_unaligned() };
        Some(Self {
            boot: SandboxBoot::from_words(&words)?,
            command_line: start.command_line(),
        })
    }

    /// Makes a hypercall.
    pub fn call(&self, number: u64, first: u64, second: u64) -> u64 {
        let result;
        // SAFETY: the hypervisor changes RAX alone and reads at most the guest's memory.
        unsafe {
            match self.boot.vendor {
                Vendor::Amd => {
                    asm!("vmmcall", inlateout("rax") number => result, in("rdi") first, in("rsi") second, options(nostack))
                }
                Vendor::Intel => {
                    asm!("vmcall", inlateout("rax") number => result, in("rdi") first, in("rsi") second, options(nostack))
                }
            }
        }
        result
    }

    /// Exits so far for `reason`.
    #[must_use]
    pub fn exits(&self, reason: ExitReason) -> u64 {
        let first = EXIT_COUNTS_BASE.as_u64() as *const u64;
        // SAFETY: the hypervisor maps the counts there; `read` mapped the window.
        unsafe { first.add(reason as usize).read_volatile() }
    }

    /// Exits so far, for whatever reason.
    #[must_use]
    pub fn all_exits(&self) -> u64 {
        ExitReason::ALL
            .iter()
            .map(|&reason| self.exits(reason))
            .sum()
    }

    /// Waits until `millis` after the time epoch.
    pub fn wait_until(&self, millis: u64) {
        let at = self.boot.epoch_tsc + self.boot.tsc_hertz / 1000 * millis;
        while (timestamp().wrapping_sub(at) as i64) < 0 {}
    }

    /// Ends the machine's run; halts if that is not permitted.
    pub fn shut_down(&self, status: u64) -> ! {
        self.call(Hypercall::ShutDown as u64, status, 0);
        tern_machine::cpu::halt_forever()
    }
}

/// Page directories for the first GiB of each window.
#[repr(C, align(4096))]
struct Directories(UnsafeCell<[[u64; 512]; 4]>);

// SAFETY: written once, by the one core, before anything else.
unsafe impl Sync for Directories {}

static DIRECTORIES: Directories = Directories(UnsafeCell::new([[0; 512]; 4]));

unsafe extern "C" {
    static mut boot_pointers: [u64; 512];
}

/// Maps the windows of `tern_abi::layout` to themselves, as the entry code did with the
/// first 4 GiB. All lie in the first 512 GiB.
fn map_windows() {
    const PRESENT_WRITABLE: u64 = 3;
    const LARGE: u64 = 1 << 7;
    let windows = [CHANNEL_BASE, TRACE_BASE, IMAGE_BASE, EXIT_COUNTS_BASE];
    // SAFETY: the one core, before anything else; entries that were not present need no
    // flush.
    unsafe {
        let directories = &mut *DIRECTORIES.0.get();
        for (window, directory) in windows.iter().zip(directories) {
            for (i, entry) in directory.iter_mut().enumerate() {
                *entry = (window.as_u64() + ((i as u64) << 21)) | PRESENT_WRITABLE | LARGE;
            }
            let slot = (&raw mut boot_pointers).cast::<u64>();
            slot.add((window.as_u64() >> 30) as usize)
                .write_volatile(directory.as_ptr() as u64 | PRESENT_WRITABLE);
        }
    }
}

/// Drains until a text is given up: more than a line of 115,200 baud needs for all that the
/// hypervisor keeps of it.
const MAX_DRAINS: u32 = 10_000_000;

impl Write for Guest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for piece in text.as_bytes().chunks(1024) {
            let result = self.call(
                Hypercall::ConsoleWrite as u64,
                piece.as_ptr() as u64,
                piece.len() as u64,
            );
            if (result as i64) < 0 {
                return Err(fmt::Error);
            }
        }
        // What comes next may never call again.
        let is_printed = |_: &u32| self.call(Hypercall::ConsoleDrain as u64, 0, 0) == 0;
        (0..MAX_DRAINS).find(is_printed).map(drop).ok_or(fmt::Error)
    }
}

/// What every guest's binary needs: runtime, entry, and a panic that halts.
#[macro_export]
macro_rules! guest {
    () => {
        tern_machine::freestanding!();
        tern_machine::boot_entry!();

        #[panic_handler]
        fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
            tern_machine::cpu::halt_forever()
        }
    };
}
