//! What the test guests share: their start information, hypercalls, a console and an
//! interrupt table.
#![no_std]

use core::arch::asm;
use core::fmt::{self, Write};
use tern_abi::boot::{SandboxBoot, Vendor};
use tern_abi::hypercall::Hypercall;
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
        let module = start.modules().nth(1)?;
        // SAFETY: module 1 holds the words of `SandboxBoot`.
        let words = unsafe { (module.address as *const [u64; SandboxBoot::WORDS]).read_unaligned() };
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
                Vendor::Amd => asm!("vmmcall", inlateout("rax") number => result, in("rdi") first, in("rsi") second, options(nostack)),
                Vendor::Intel => asm!("vmcall", inlateout("rax") number => result, in("rdi") first, in("rsi") second, options(nostack)),
            }
        }
        result
    }

    /// Ends the machine's run; halts if that is not permitted.
    pub fn shut_down(&self, status: u64) -> ! {
        self.call(Hypercall::ShutDown as u64, status, 0);
        tern_machine::cpu::halt_forever()
    }
}

impl Write for Guest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for piece in text.as_bytes().chunks(1024) {
            let result = self.call(
                Hypercall::ConsoleWrite as u64,
                piece.as_ptr() as u64,
                piece.len() as u64,
            );
            if result != 0 {
                return Err(fmt::Error);
            }
        }
        Ok(())
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
