//! The interface between the vendors' virtualization and everything else: a guest
//! runs until it leaves, and says why.
use crate::memory::mapping::{Access, Mapping};
use alloc::vec::Vec;
use core::ops::Range;
use tern_config::limits::MAX_SEALED;
use tern_units::GuestPhysical;

/// The general registers of a guest but the stack pointer, in the order in which the
/// entry code stores them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs)]
pub struct Registers {
    pub rax: u64,
    pub rbx: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub rbp: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
}

impl Registers {
    /// All zero.
    pub const ZERO: Self = Self {
        rax: 0,
        rbx: 0,
        rcx: 0,
        rdx: 0,
        rsi: 0,
        rdi: 0,
        rbp: 0,
        r8: 0,
        r9: 0,
        r10: 0,
        r11: 0,
        r12: 0,
        r13: 0,
        r14: 0,
        r15: 0,
    };

    /// The register that instructions call `number`; RSP, which is not among them, is `rsp`.
    #[must_use]
    pub const fn numbered(&self, number: u8, rsp: u64) -> u64 {
        match number & 15 {
            0 => self.rax,
            1 => self.rcx,
            2 => self.rdx,
            3 => self.rbx,
            4 => rsp,
            5 => self.rbp,
            6 => self.rsi,
            7 => self.rdi,
            8 => self.r8,
            9 => self.r9,
            10 => self.r10,
            11 => self.r11,
            12 => self.r12,
            13 => self.r13,
            14 => self.r14,
            _ => self.r15,
        }
    }
}

/// Why a guest left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The hypercall instruction.
    Hypercall,
    /// CPUID.
    Cpuid,
    /// RDMSR of a register that it does not own; its number is in RCX.
    ReadMsr,
    /// WRMSR of a register that it does not own; its number is in RCX, the value in
    /// RDX:RAX.
    WriteMsr,
    /// An access to a port that is not its own.
    Port {
        /// The port.
        port: u16,
        /// Whether it was to be written.
        write: bool,
        /// How many bytes, from that port on.
        bytes: u8,
        /// Whether they were to come from memory, or go there.
        is_string: bool,
    },
    /// An access to memory that is not its own.
    Memory {
        /// Where.
        address: GuestPhysical,
        /// What, with the bits of a page fault's error code: 1 write, 4 fetch.
        error: u64,
    },
    /// An intercepted exception: #DB or #AC.
    Exception(Event),
    /// A write of CR0 that may change bits of the hypervisor's.
    WriteCr0,
    /// A write of CR4 that sets bits of the hypervisor's, or of features that CPUID does not show.
    WriteCr4,
    /// A non-maskable interrupt waits.
    Nmi,
    /// The exit that a non-maskable interrupt asked for which came in the hypervisor, under VT-x.
    AtOnce,
    /// A machine check.
    MachineCheck,
    /// An external interrupt.
    Interrupt,
    /// A triple fault.
    Shutdown,
    /// INIT.
    Init,
    /// An instruction that no sandbox may execute.
    Instruction(&'static str),
    /// The processor refuses the guest's state.
    InvalidState,
    /// The processor refuses the entry as such, for this reason of the vendor's.
    EntryRefused(u64),
    /// Anything else, by the vendor's code.
    Other(u64),
}

/// An exception to deliver to a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its vector.
    pub vector: u8,
    /// Its error code, for vectors that have one.
    pub error: Option<u32>,
}

impl Event {
    /// Debug exception.
    pub const DEBUG: Self = Self {
        vector: 1,
        error: None,
    };
    /// Invalid opcode.
    pub const INVALID_OPCODE: Self = Self {
        vector: 6,
        error: None,
    };
    /// General protection.
    pub const GENERAL_PROTECTION: Self = Self {
        vector: 13,
        error: Some(0),
    };
}

/// The guest does not accept such a value: it gets a general-protection exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// A virtual processor, bound to the core that runs it.
pub trait Guest {
    /// Enters the guest, and returns when it leaves.
    fn run(&mut self) -> Exit;
    /// Its general registers. RAX is among them.
    fn registers(&mut self) -> &mut Registers;
    /// Its instruction pointer: at an exit, that of the instruction that left.
    fn instruction_pointer(&self) -> u64;
    /// The ring it runs in.
    fn ring(&self) -> u8;
    /// Moves on past the instruction that left, which is a hypercall, CPUID, RDMSR, WRMSR, or an
    /// access to a port.
    fn skip_instruction(&mut self);
    /// Delivers an exception at the next entry.
    fn inject(&mut self, event: Event);
    /// Reads a register that the vendor's code keeps for the guest (EFER, PAT); `None`
    /// for others.
    fn read_kept_msr(&self, register: u32) -> Option<u64>;
    /// Writes such a register; `None` for others.
    fn write_kept_msr(&mut self, register: u32, value: u64) -> Option<Result<(), Refused>>;
    /// Serves [`Exit::WriteCr0`]: the guest goes on with what it wrote, but for what is the
    /// hypervisor's. `None` if the instruction is not found, or is no MOV.
    fn write_cr0(&mut self) -> Option<Result<(), Refused>>;
    /// Lets the hypervisor's handler (`faults.rs`) have the non-maskable interrupt for which the
    /// guest left.
    fn take_nmi(&mut self);
    /// Lets the guest reach the ports of a shared device or not, from the next entry on.
    fn choose_ports(&mut self, with_shared: bool);
    /// Lets the guest see memory by another choice of its nested tables, from the next entry on:
    /// one of [`Reach::choices`].
    fn choose_memory(&mut self, choice: usize);
}

/// Where a guest begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// Entry of the PVH protocol.
    pub entry: u64,
    /// Guest-physical address of its start information.
    pub start_info: u64,
}

/// The most choices of nested tables that a guest has.
pub const MOST_CHOICES: usize = 1 << MAX_SEALED;

/// All that a guest may reach without an exit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Memory.
    pub memory: Vec<Mapping>,
    /// Both halves of each sealed channel that it writes.
    pub halves: Vec<[Mapping; 2]>,
    /// I/O ports: the first and how many.
    pub ports: Vec<(u16, u16)>,
    /// Those of a device that it shares, which it has at times.
    pub shared_ports: Option<(u16, u16)>,
    /// Model-specific registers that it may read.
    pub readable: Vec<u32>,
    /// Model-specific registers that it may read and write.
    pub writable: Vec<u32>,
}

impl Reach {
    /// Returns the choices of which halves it may write, by number: bit n says which half of its
    /// n-th sealed channel is open.
    #[must_use]
    pub fn choices(&self) -> Range<usize> {
        0..1 << self.halves.len()
    }

    /// Returns what it sees of memory by one of these choices.
    pub fn memory_by(&self, choice: usize) -> impl Iterator<Item = Mapping> + '_ {
        let halves = self
            .halves
            .iter()
            .enumerate()
            .flat_map(move |(place, halves)| {
                let open = choice >> place & 1;
                let access = move |half| match half == open {
                    true => Access::ReadWrite,
                    false => Access::ReadOnly,
                };
                let halves = halves.iter().enumerate();
                halves.map(move |(half, mapping)| Mapping {
                    access: access(half),
                    ..*mapping
                })
            });
        self.memory.iter().copied().chain(halves)
    }

    /// Every model-specific register that it may read, and whether it may write it too:
    /// those named, and those that are the guest's own under either vendor, which SYSENTER,
    /// SYSCALL, FS and GS use: switched at entry and exit, or not used by the hypervisor.
    pub fn registers(&self) -> impl Iterator<Item = (u32, bool)> + '_ {
        let own = (0x174..=0x176)
            .chain(0xc000_0081..=0xc000_0084)
            .chain(0xc000_0100..=0xc000_0102);
        let readable = self.readable.iter().map(|&register| (register, false));
        let writable = self.writable.iter().copied().chain(own);
        readable.chain(writable.map(|register| (register, true)))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;
    use tern_units::HostPhysical;

    #[test]
    fn of_each_sealed_channel_one_half_may_be_written_in_every_choice() {
        let mapping = |number: u64| Mapping {
            guest: GuestPhysical::new(number << 12),
            host: HostPhysical::new(number << 20),
            bytes: 4096,
            access: Access::ReadOnly,
        };
        let fixed = Mapping {
            access: Access::Full,
            ..mapping(1)
        };
        let reach = Reach {
            memory: Vec::from([fixed]),
            halves: Vec::from([[mapping(2), mapping(3)], [mapping(4), mapping(5)]]),
            ..Reach::default()
        };
        assert_eq!(reach.choices(), 0..4);
        for (choice, written) in [(0, [2, 4]), (1, [3, 4]), (2, [2, 5]), (3, [3, 5])] {
            let seen: Vec<_> = reach.memory_by(choice).collect();
            assert_eq!(seen[0], fixed);
            for (found, number) in seen[1..].iter().zip(2..) {
                let access = match written.contains(&number) {
                    true => Access::ReadWrite,
                    false => Access::ReadOnly,
                };
                let wanted = Mapping {
                    access,
                    ..mapping(number)
                };
                assert_eq!(*found, wanted, "choice {choice}");
            }
            assert_eq!(seen.len(), 5);
        }
        assert_eq!(
            Reach::default().choices(),
            0..1,
            "who seals nothing has one"
        );
    }
}
