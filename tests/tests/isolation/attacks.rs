//! Every attack by its name, and how it ends: one list for all machines.
use Ending::{Endured, Refused, Stopped};
use tern_abi::directory::ExitReason::{
    self, Instruction, InterruptCommand, Msr, NestedPageFault, Port, Shutdown,
};
use tern_abi::hypercall::HypercallError::{BadArgument, NotPermitted};
use tern_abi::layout::{EXIT_COUNTS_BASE, IMAGE_BASE, TRACE_BASE};
use tern_tests::{BOCHS_AMD, Platform, QEMU, QEMU_10};

/// An attack.
#[derive(Clone, Debug)]
pub struct Attack {
    /// What it is.
    pub name: &'static str,
    /// The command line of `guest-hostile`.
    pub line: String,
    /// How it ends.
    pub ending: Ending,
    /// Where it ends otherwise; the first that applies counts.
    pub except: Vec<(On, Otherwise)>,
}

/// How an attack ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The sandbox is stopped: the record's reason and object, and words of the line.
    Stopped(ExitReason, u64, &'static str),
    /// It goes on with this answer.
    Refused(i64),
    /// It goes on for good, and disturbs nobody.
    Endured,
}

/// Some of the machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// One.
    Only(Platform),
    /// Those with AMD-V.
    AmdV,
    /// Those with VT-x.
    VtX,
    /// Those whose sandboxes do not own their APICs.
    WithoutX2apic,
}

impl On {
    /// Whether `platform` is one of them.
    pub fn includes(self, platform: Platform) -> bool {
        match self {
            Self::Only(one) => one == platform,
            Self::AmdV => !platform.has_vt_x(),
            Self::VtX => platform.has_vt_x(),
            Self::WithoutX2apic => !platform.has_x2apic(),
        }
    }
}

/// What else is true of an attack on some machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// It ends so.
    Ends(Ending),
    /// It cannot be tried there, for this reason.
    Untried(&'static str),
}

impl Attack {
    /// How it ends on `platform`, or why it cannot be tried there.
    pub fn ending_on(&self, platform: Platform) -> Result<Ending, &'static str> {
        let mut exceptions = self.except.iter();
        match exceptions.find(|(on, _)| on.includes(platform)) {
            None => Ok(self.ending),
            Some((_, Otherwise::Ends(ending))) => Ok(*ending),
            Some((_, Otherwise::Untried(why))) => Err(why),
        }
    }

    fn except(mut self, on: On, otherwise: Otherwise) -> Self {
        self.except.push((on, otherwise));
        self
    }
}

/// Where the attacked system has its parts.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    /// Bytes of the attacker's memory.
    pub memory: u64,
    /// Bytes of its trace ring, the header's page included.
    pub trace: u64,
    /// Address of a channel that it reads.
    pub read_channel: u64,
    /// Index and address of a channel that it has no part in.
    pub foreign_channel: (usize, u64),
}

const APIC_PAGE: u64 = 0xfee0_0000;
const INTERRUPT_COMMAND: u64 = 0x830;
/// An instruction that the processor does not know, in a guest without exception handlers.
const UNKNOWN: Otherwise = Otherwise::Ends(Stopped(Shutdown, 0, "triple fault"));
const ENDS_MACHINE: Otherwise = Otherwise::Untried(
    "Bochs 2.7 does not intercept a triple fault under AMD-V: it ends the emulator",
);
const READS_TIME: Otherwise = Otherwise::Untried("QEMU does not intercept RDTSCP");
const NO_OPERATION: Otherwise = Otherwise::Untried("QEMU 10 takes it for no operation");
const NOT_INTERCEPTED: Otherwise = Otherwise::Untried(
    "AMD-V cannot intercept it (APM vol. 2 §15.9); CPUID hides it, and a replica that uses it is voted out",
);

/// All attacks.
pub fn all(places: Places) -> Vec<Attack> {
    let Places {
        memory,
        trace,
        read_channel,
        foreign_channel: (foreign, foreign_address),
    } = places;
    let attack = |name, line: &str, ending| Attack {
        name,
        line: line.into(),
        ending,
        except: Vec::new(),
    };
    let page =
        |name, line: &str, object, what| attack(name, line, Stopped(NestedPageFault, object, what));
    let send = |name, line, what| {
        attack(
            name,
            line,
            Stopped(InterruptCommand, INTERRUPT_COMMAND, what),
        )
    };
    let instruction = |name, line, what| attack(name, line, Stopped(Instruction, 0, what));
    let (read, write) = ("read of guest-physical", "write of guest-physical");
    // Without an x2APIC its registers are nobody's.
    let register = |number| Stopped(Msr, number, "to model-specific register");
    let (entry_of_nobody, pin_of_nobody) = (register(0x82f), register(0x835));
    let command_of_nobody = Stopped(InterruptCommand, INTERRUPT_COMMAND, "interrupt sent");
    vec![
        page("reading outside its memory", "memory-read", memory, read),
        page("writing outside its memory", "memory-write", memory, write),
        page(
            "executing outside its memory",
            "memory-execute",
            memory,
            "instruction fetch",
        ),
        page(
            "writing a channel that it reads",
            &format!("channel-write {read_channel:x}"),
            read_channel,
            write,
        ),
        page(
            "reading a channel of others",
            &format!("channel-read {foreign_address:x}"),
            foreign_address,
            read,
        ),
        page(
            "writing a channel of others",
            &format!("channel-write {foreign_address:x}"),
            foreign_address,
            write,
        ),
        page(
            "writing the system image",
            "image-write",
            IMAGE_BASE.as_u64(),
            write,
        ),
        page(
            "writing its exit counts",
            "exit-counts-write",
            EXIT_COUNTS_BASE.as_u64(),
            write,
        ),
        page(
            "writing past its trace ring",
            "trace-outside",
            TRACE_BASE.as_u64() + trace,
            write,
        ),
        page(
            "programming the APIC page at another core",
            "apic-page",
            APIC_PAGE + 0x310,
            write,
        ),
        page(
            "sending INIT by the APIC page",
            "apic-init-page",
            APIC_PAGE + 0x300,
            write,
        ),
        send(
            "sending an interrupt to another core",
            "interrupt",
            "interrupt sent to core 0",
        ),
        send(
            "sending INIT to another core",
            "init",
            "INIT sent to core 0",
        ),
        send(
            "starting another core",
            "startup",
            "start-up interrupt sent to core 0",
        ),
        send(
            "sending an NMI to another core",
            "nmi",
            "NMI sent to core 0",
        ),
        send(
            "sending an interrupt to all cores",
            "broadcast",
            "interrupt sent",
        ),
        attack(
            "reading a port that is not its own",
            "port-read",
            Stopped(Port, 0x60, "read of port 0x60"),
        ),
        attack(
            "unmasking the legacy interrupt controller",
            "port-write",
            Stopped(Port, 0x21, "write of port 0x21"),
        ),
        // Port 0x514 takes the address of a command in memory, which is then carried out.
        attack(
            "writing any memory by the firmware configuration's DMA",
            "port-write 514",
            Stopped(Port, 0x514, "write of port 0x514"),
        ),
        attack(
            "configuring the PCI bus",
            "pci",
            Stopped(Port, 0xcf8, "write of port 0xcf8"),
        ),
        attack(
            "reading a register of the hypervisor",
            "msr-read",
            Stopped(
                Msr,
                0xc001_0117,
                "read of model-specific register 0xc0010117",
            ),
        ),
        attack(
            "writing a register of the hypervisor",
            "msr-write",
            Stopped(
                Msr,
                0xc001_0117,
                "write of 0xfee00000 to model-specific register 0xc0010117",
            ),
        ),
        attack(
            "moving its APIC",
            "msr-apic-base",
            Stopped(Msr, 0x1b, "model-specific register 0x1b"),
        ),
        attack(
            "routing errors of its APIC to the firmware",
            "entry-error",
            Stopped(
                Msr,
                0x837,
                "write of 0x250 to model-specific register 0x837",
            ),
        ),
        attack(
            "routing its timer to the firmware",
            "entry-timer",
            Stopped(
                Msr,
                0x832,
                "write of 0x250 to model-specific register 0x832",
            ),
        )
        .except(
            On::WithoutX2apic,
            Otherwise::Ends(Refused(BadArgument as i64)),
        ),
        attack(
            "reading a register that no bitmap covers",
            "msr-unknown",
            Stopped(
                Msr,
                0x4000_0000,
                "read of model-specific register 0x40000000",
            ),
        ),
        attack(
            "a triple fault",
            "triple-fault",
            Stopped(Shutdown, 0, "triple fault"),
        )
        .except(On::Only(BOCHS_AMD), ENDS_MACHINE),
        instruction("enabling extended state", "xsetbv", "XSETBV executed")
            .except(
                On::Only(QEMU),
                Otherwise::Untried("QEMU 7.2 does not intercept XSETBV"),
            )
            // CR4.OSXSAVE, which it needs, is not the guest's there.
            .except(On::VtX, UNKNOWN),
        // They stay on for the hypervisor, and a guest has no bit for them. AMD-V cannot keep one
        // bit of CR4: where machine checks are off, one is a shutdown, which is intercepted.
        attack(
            "turning machine checks on or off",
            "machine-checks",
            Stopped(Shutdown, 0, "triple fault"),
        )
        .except(On::AmdV, Otherwise::Ends(Refused(1 << 6))),
        instruction("flushing all caches", "wbinvd", "WBINVD executed"),
        instruction("dropping all caches", "invd", "INVD executed"),
        instruction("monitoring memory", "monitor", "MONITOR executed").except(
            On::Only(BOCHS_AMD),
            Otherwise::Untried(
                "Bochs 2.7 does nothing at MONITOR on memory that no firmware made write-back",
            ),
        ),
        instruction("reading performance counters", "rdpmc", "RDPMC executed"),
        instruction("running a guest of its own", "vmrun", "VMRUN executed")
            .except(On::VtX, UNKNOWN),
        instruction("setting the global interrupt flag", "stgi", "STGI executed")
            .except(On::VtX, UNKNOWN),
        instruction(
            "clearing the global interrupt flag",
            "clgi",
            "CLGI executed",
        )
        .except(On::VtX, UNKNOWN),
        instruction(
            "entering VMX operation",
            "vmxon",
            "an instruction of VT-x executed",
        )
        .except(On::Only(QEMU_10), NO_OPERATION)
        .except(On::Only(BOCHS_AMD), ENDS_MACHINE)
        .except(On::AmdV, UNKNOWN),
        instruction(
            "clearing a VMCS",
            "vmclear",
            "an instruction of VT-x executed",
        )
        .except(On::Only(QEMU_10), NO_OPERATION)
        .except(On::Only(BOCHS_AMD), ENDS_MACHINE)
        .except(On::AmdV, UNKNOWN),
        instruction("drawing a random number", "rdrand", "RDRAND executed")
            .except(On::AmdV, NOT_INTERCEPTED),
        instruction("drawing a random seed", "rdseed", "RDSEED executed")
            .except(On::AmdV, NOT_INTERCEPTED),
        // One exit, and it reads what it wrote; AMD-V cannot keep the bits for it.
        attack(
            "turning its caches off",
            "cr0-cache-disable",
            Refused(3 << 29 | 1),
        )
        .except(On::AmdV, Otherwise::Ends(Refused(1))),
        // An invalid opcode (6), as CPUID shows none of them.
        attack("reading time and core", "rdtscp", Refused(6))
            .except(On::Only(QEMU), READS_TIME)
            .except(On::Only(QEMU_10), READS_TIME),
        attack("reading clock counters", "rdpru", Refused(6)),
        attack("waiting for its stores", "mcommit", Refused(6)).except(
            On::Only(BOCHS_AMD),
            Otherwise::Untried("Bochs 2.7 takes it for MONITORX"),
        ),
        // What it reads is what it wrote, and its memory stays cached.
        attack(
            "memory that is not cached",
            "pat-uncached",
            Refused(0x0100_0100_0100_0100),
        ),
        attack(
            "changing the memory types of the machine",
            "mtrr-write",
            Stopped(Msr, 0x2ff, "to model-specific register 0x2ff"),
        ),
        attack(
            "sending INIT by hypercall",
            "apic-hypercall",
            Refused(NotPermitted as i64),
        ),
        attack(
            "an interrupt command with reserved bits, to itself",
            "command-reserved",
            Refused(0),
        )
        .except(On::WithoutX2apic, Otherwise::Ends(command_of_nobody)),
        attack(
            "a local entry that its APIC may not have, masked",
            "entry-absent",
            Refused(0),
        )
        .except(On::WithoutX2apic, Otherwise::Ends(entry_of_nobody)),
        attack(
            "a masked local entry with reserved bits",
            "entry-reserved",
            Refused(0),
        )
        .except(On::WithoutX2apic, Otherwise::Ends(pin_of_nobody)),
        attack(
            "ringing a doorbell of others",
            &format!("doorbell {foreign:x}"),
            Refused(NotPermitted as i64),
        ),
        attack(
            "ending the run without permission",
            "shut-down",
            Refused(NotPermitted as i64),
        ),
        attack(
            "taking a device that it does not share",
            "take",
            Refused(NotPermitted as i64),
        ),
        attack(
            "printing memory that is not its own",
            "console-outside",
            Refused(BadArgument as i64),
        ),
        // The number of those that were accepted.
        attack(
            "hypercalls with arguments that make no sense",
            "hypercall-arguments",
            Refused(0),
        ),
        attack("exceptions without end", "exception-loop", Endured),
        attack(
            "debug exceptions inside debug exceptions",
            "debug-loop",
            Endured,
        ),
        attack("locks across cache lines", "split-lock", Endured),
        attack("hypercalls without end", "hypercall-flood", Endured),
        attack("a core that never rests", "spin", Endured),
    ]
}
