//! A process that has the kernel's image and a stack, and nothing else: it is given registers and
//! memory, runs until something ends it, and is given them anew.
//!
//! Whatever a fault makes it do, it does there. Its code, constants and trampoline cannot be
//! written, its data and stack are the tracer's to look at and to restore, nothing else is mapped,
//! and no system call is carried out. So the tracer needs no defence, and the next run starts as
//! the first did.
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::null_mut;

use super::image::{BASE, KernelImage};

/// General registers, flags, instruction pointer and segments, as the tracer sees them.
pub type Registers = libc::user_regs_struct;

/// Where the stack is: no bit of an address in it, turned over, makes one in the image.
pub const STACK: u64 = 0x2aaa_5540_0000;
/// Bytes of the stack.
pub const STACK_BYTES: usize = 2 * PAGE;
/// Where the process makes the system calls that take its own memory away.
const TRAMPOLINE: u64 = 0x3f00_0000;
const PAGE: usize = 4096;
/// The end of a process's addresses.
const END: u64 = 0x7fff_ffff_f000;
/// Of processor time, counted in the host's ticks: what takes two of them does not end.
const BOUND: libc::timeval = libc::timeval {
    tv_sec: 0,
    tv_usec: 1_000,
};
/// An instruction that stops the process.
const BREAKPOINT: u8 = 0xcc;

/// What ended a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It came back to who called.
    Returned,
    /// An exception, or a system call, which was not carried out.
    Crashed,
    /// It ran on and on.
    Hung,
}

/// The process.
pub struct Tracee {
    pid: libc::pid_t,
    memory: *mut u8,
    bytes: usize,
    data: std::ops::Range<usize>,
    stack: usize,
    sound_data: Vec<u8>,
    /// Where calls return to: the last byte of the last page of code, which holds nothing else.
    pub return_address: u64,
}

impl Tracee {
    /// Starts a process with this image.
    pub fn start(image: &KernelImage) -> Self {
        let [text, _, data] = &image.parts;
        let mut contents = image.bytes.clone();
        let return_address = text.end - 1;
        let last = (return_address - BASE) as usize;
        assert_eq!(contents[last - 1..=last], [0, 0], "no room behind the code");
        contents[last] = BREAKPOINT;
        let stack = contents.len();
        contents.resize(stack + STACK_BYTES, 0);
        let trampoline = contents.len();
        contents.extend([0x0f, 0x05, BREAKPOINT]);
        contents.resize(trampoline + PAGE, BREAKPOINT);

        let file = memory_file(&contents);
        let rw = libc::PROT_READ | libc::PROT_WRITE;
        let memory = map(null_mut(), contents.len(), rw, &file, 0, 0);
        let maps = Vec::from_iter(image.parts.iter().zip([
            libc::PROT_READ | libc::PROT_EXEC,
            libc::PROT_READ,
            rw,
        ]));
        let rseq = Rseq::find();
        // SAFETY: the child makes system calls only, with what has been computed here, and never
        // returns from this block: it stops itself, and the tracer takes over.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            for (part, protection) in &maps {
                let length = (part.end - part.start) as usize;
                let at = part.start as *mut libc::c_void;
                map(
                    at,
                    length,
                    *protection,
                    &file,
                    part.start - BASE,
                    libc::MAP_FIXED,
                );
            }
            let at = STACK as *mut libc::c_void;
            map(at, STACK_BYTES, rw, &file, stack as u64, libc::MAP_FIXED);
            let execute = libc::PROT_READ | libc::PROT_EXEC;
            let at = TRAMPOLINE as *mut libc::c_void;
            map(at, PAGE, execute, &file, trampoline as u64, libc::MAP_FIXED);
            rseq.unregister();
            let interval = libc::itimerval {
                it_interval: BOUND,
                it_value: BOUND,
            };
            // SAFETY: as above; the pointers are to this frame.
            unsafe {
                libc::setitimer(libc::ITIMER_VIRTUAL, &interval, null_mut());
                libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
                libc::syscall(
                    libc::SYS_tkill,
                    libc::syscall(libc::SYS_gettid),
                    libc::SIGSTOP,
                );
                libc::_exit(1);
            }
        }
        assert!(pid > 0, "{}", std::io::Error::last_os_error());
        let data = (data.start - BASE) as usize..(data.end - BASE) as usize;
        let mut tracee = Self {
            pid,
            memory: memory.cast(),
            bytes: contents.len(),
            sound_data: contents[data.clone()].to_vec(),
            data,
            stack,
            return_address,
        };
        tracee.take_over();
        tracee
    }

    /// Takes all memory of the process but the image and the stack away.
    fn take_over(&mut self) {
        assert_eq!(self.wait(), libc::SIGSTOP);
        let options = libc::PTRACE_O_EXITKILL | libc::PTRACE_O_TRACESYSGOOD;
        self.ptrace(libc::PTRACE_SETOPTIONS, options as usize);
        let end = BASE + self.stack as u64;
        let above = STACK + STACK_BYTES as u64;
        let trampoline = TRAMPOLINE + PAGE as u64;
        for (from, to) in [
            (0, TRAMPOLINE),
            (trampoline, BASE),
            (end, STACK),
            (above, END),
            // The last call returns to where nothing is.
            (TRAMPOLINE, trampoline),
        ] {
            let mut registers = self.registers();
            registers.rip = TRAMPOLINE;
            registers.rax = libc::SYS_munmap as u64;
            registers.orig_rax = u64::MAX;
            registers.rdi = from;
            registers.rsi = to - from;
            registers.fs_base = 0;
            registers.gs_base = 0;
            self.set_registers(&registers);
            let wanted = if from == TRAMPOLINE {
                libc::SIGSEGV
            } else {
                libc::SIGTRAP
            };
            self.ptrace(libc::PTRACE_CONT, 0);
            let mut signal = self.wait();
            while signal == libc::SIGVTALRM {
                self.ptrace(libc::PTRACE_CONT, 0);
                signal = self.wait();
            }
            assert_eq!(
                (signal, self.registers().rax),
                (wanted, 0),
                "{from:#x} to {to:#x}"
            );
        }
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", self.pid)).expect("its maps");
        let own: Vec<_> = maps
            .lines()
            .filter(|line| !line.ends_with("[vsyscall]"))
            .map(|line| u64::from_str_radix(line.split('-').next().unwrap_or(""), 16))
            .collect();
        let wanted = [
            BASE,
            BASE + self.text_bytes(),
            BASE + self.data.start as u64,
            STACK,
        ];
        assert_eq!(own, wanted.map(Ok), "{maps}");
    }

    fn text_bytes(&self) -> u64 {
        self.return_address + 1 - BASE
    }

    /// The registers as they are.
    pub fn registers(&self) -> Registers {
        // SAFETY: plain integers, of which any are registers.
        let mut registers: Registers = unsafe { std::mem::zeroed() };
        self.ptrace(libc::PTRACE_GETREGS, &raw mut registers as usize);
        registers
    }

    fn set_registers(&self, registers: &Registers) {
        self.ptrace(libc::PTRACE_SETREGS, &raw const *registers as usize);
    }

    /// The stack as it is.
    pub fn stack(&mut self) -> &mut [u8; STACK_BYTES] {
        // SAFETY: the mapping is this long; the process does not run while it is borrowed, as
        // running borrows `self`.
        unsafe { &mut *self.memory.add(self.stack).cast() }
    }

    /// Turns bits of the aligned word of 64 bits at `address` over, in the stack or in constants.
    pub fn flip(&mut self, address: u64, bits: u64) {
        let at = match address.checked_sub(STACK) {
            Some(offset) => self.stack + offset as usize,
            None => (address - BASE) as usize,
        };
        assert!(at % 8 == 0 && at + 8 <= self.bytes);
        // SAFETY: it is within the mapping and aligned; the process does not run meanwhile.
        unsafe { *self.memory.add(at).cast::<u64>() ^= bits };
    }

    /// Makes the data again what the kernel's file has, if the last run wrote there.
    fn restore_data(&mut self) {
        // SAFETY: as for the stack.
        let data = unsafe {
            std::slice::from_raw_parts_mut(self.memory.add(self.data.start), self.data.len())
        };
        if *data != *self.sound_data {
            data.copy_from_slice(&self.sound_data);
        }
    }

    /// Runs from these registers until something ends it. The stack is the caller's to set.
    pub fn run(&mut self, registers: &Registers) -> Stop {
        self.set_registers(registers);
        let mut ticks = 0;
        let stop = loop {
            self.ptrace(libc::PTRACE_SYSEMU, 0);
            match self.wait() {
                libc::SIGVTALRM if ticks == 1 => break Stop::Hung,
                libc::SIGVTALRM => ticks += 1,
                libc::SIGTRAP if self.registers().rip == self.return_address + 1 => {
                    break Stop::Returned;
                }
                _ => break Stop::Crashed,
            }
        };
        self.restore_data();
        stop
    }

    /// Executes one instruction; returns whether nothing but that happened.
    pub fn step(&mut self) -> bool {
        loop {
            self.ptrace(libc::PTRACE_SINGLESTEP, 0);
            match self.wait() {
                libc::SIGVTALRM => {}
                signal => return signal == libc::SIGTRAP,
            }
        }
    }

    /// Prepares to step from these registers.
    pub fn prepare(&self, registers: &Registers) {
        self.set_registers(registers);
    }

    fn ptrace(&self, request: libc::c_uint, data: usize) {
        // SAFETY: the requests used read or write `Registers` behind `data`, or nothing.
        let result = unsafe { libc::ptrace(request, self.pid, 0, data) };
        let error = std::io::Error::last_os_error();
        assert!(result >= 0, "ptrace request {request}: {error}");
    }

    /// Waits for the process to stop; returns the signal.
    fn wait(&self) -> libc::c_int {
        let mut status = 0;
        loop {
            // SAFETY: the pointer is to this frame.
            let waited = unsafe { libc::waitpid(self.pid, &raw mut status, libc::__WALL) };
            let error = std::io::Error::last_os_error();
            if waited == self.pid {
                break;
            }
            let again = error.kind() == std::io::ErrorKind::Interrupted;
            assert!(again, "waiting for the process: {error}");
        }
        assert!(libc::WIFSTOPPED(status), "the process ended: {status:#x}");
        libc::WSTOPSIG(status)
    }
}

impl Drop for Tracee {
    fn drop(&mut self) {
        // SAFETY: the process is this one's child, and the mapping its own.
        unsafe {
            libc::kill(self.pid, libc::SIGKILL);
            libc::waitpid(self.pid, null_mut(), libc::__WALL);
            libc::munmap(self.memory.cast(), self.bytes);
        }
    }
}

/// A file in memory with these contents, that two processes can map.
fn memory_file(contents: &[u8]) -> OwnedFd {
    // SAFETY: the name is a string; the descriptor is new, and owned from here on.
    let file = unsafe {
        let descriptor = libc::memfd_create(c"tern-coded-vote".as_ptr(), libc::MFD_CLOEXEC);
        assert!(descriptor >= 0, "{}", std::io::Error::last_os_error());
        OwnedFd::from_raw_fd(descriptor)
    };
    let mut file = std::fs::File::from(file);
    file.write_all(contents).expect("memory for the image");
    file.into()
}

fn map(
    at: *mut libc::c_void,
    length: usize,
    protection: libc::c_int,
    file: &OwnedFd,
    offset: u64,
    flags: libc::c_int,
) -> *mut libc::c_void {
    let flags = libc::MAP_SHARED | flags;
    let offset = offset as libc::off_t;
    // SAFETY: where it is fixed, nothing of the process lies there: see `STACK` and `BASE`.
    let mapped = unsafe { libc::mmap(at, length, protection, flags, file.as_raw_fd(), offset) };
    assert_ne!(
        mapped,
        libc::MAP_FAILED,
        "{}",
        std::io::Error::last_os_error()
    );
    mapped
}

/// Where the C library has the host's kernel write the number of the core: it may not go on doing
/// so once that memory is gone.
struct Rseq {
    area: u64,
}

impl Rseq {
    const SIGNATURE: u32 = 0x5305_3053;
    const UNREGISTER: u32 = 1;

    fn find() -> Self {
        let thread: u64;
        // SAFETY: the first word of a thread's block is its own address; the symbol, where the
        // library has it, is a word.
        unsafe {
            std::arch::asm!("mov {}, fs:0", out(reg) thread, options(nostack, readonly));
            let offset = libc::dlsym(libc::RTLD_DEFAULT, c"__rseq_offset".as_ptr());
            let offset = offset.cast::<i64>().as_ref();
            let area = offset.map_or(0, |offset| thread.wrapping_add_signed(*offset));
            Self { area }
        }
    }

    fn unregister(&self) {
        // The length that it was registered with is the library's to know.
        for length in [32, 33, 40, 48, 64] {
            // SAFETY: it only takes a registration of this thread away, if there is one.
            unsafe {
                let (flags, signature) = (Self::UNREGISTER, Self::SIGNATURE);
                libc::syscall(libc::SYS_rseq, self.area, length, flags, signature);
            }
        }
    }
}
