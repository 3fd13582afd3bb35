//! What the hypervisor on each core maps: its own sandbox and what all cores share, and nothing of
//! other sandboxes, so that no mistake and no misprediction on one core reaches them.
use std::ops::Range;
use std::time::Duration;
use tern_tests::{Built, Platform, Running, on_each_machine, symbol, text};
use tern_units::HostPhysical;
use xtask::build;
use xtask::emulator::tables::{Mapped, mapped};
use xtask::emulator::{Directory, Registers};

/// I/O APICs and local APICs.
const CONTROLLERS: Range<u64> = 0xfec0_0000..0xff00_0000;
const IO_APIC: u64 = 0xfec0_0000;
const LOCAL_APIC: u64 = 0xfee0_0000;

/// The sandbox with a device.
const DRIVER: usize = 2;
/// The sandbox that has no part in the sealed channel.
const STRANGER: usize = 3;
const CORES: usize = 4;

/// A load, a sandbox that ends the run, one with a device, and one that is stopped; the first
/// writes a channel that all others read, and a sealed one that two of them may close.
fn system() -> Built {
    let device = "name = \"own\"\nport = 0x2f8\ninterrupt = 3\n";
    let driver = "devices = [\"own\"]\n[[sandbox.server]]\nname = \"driver\"\nbudget = \"1ms\"\n\
                  period = \"10ms\"\n[[sandbox.server.thread]]\nname = \"driver\"\ndriver = \"own\"\n";
    Built::parse(&format!(
        "[system]\nname = \"confinement\"\n[[device]]\n{device}{}{}may_shut_down = true\n{}{driver}{}\
         [[channel]]\nname = \"news\"\nwriter = \"load\"\nreaders = [\"last\", \"driver\", \"stopped\"]\n\
         size = \"4KiB\"\n\
         [[channel]]\nname = \"sealed\"\nwriter = \"load\"\nreaders = [\"last\", \"driver\"]\n\
         size = \"4KiB\"\nseal = \"5ms\"\nclose = \"4ms\"\n",
        text::load("load", 0),
        text::guest("last", 1, "guest-hello", "100"),
        text::guest("driver", DRIVER, "guest-hello", "50"),
        text::guest("stopped", 3, "guest-hostile", "port-read"),
    ))
}

/// A core in the hypervisor, and what it maps there.
struct Core {
    stack: u64,
    pages: Vec<Mapped>,
}

impl Core {
    fn read(machine: &mut Running, core: usize) -> Self {
        let registers = machine.registers(core as u32);
        let memory = machine.memory();
        let pages = mapped(
            |table| memory.words(HostPhysical::new(table)),
            registers.root,
        );
        Self {
            stack: registers.general[Registers::STACK],
            pages: pages.unwrap(),
        }
    }

    /// What it maps of `range`.
    fn of(&self, range: &Range<u64>) -> Vec<&Mapped> {
        let touches = |it: &&Mapped| it.frame < range.end && range.start < it.frame + it.bytes;
        self.pages.iter().filter(touches).collect()
    }
}

fn range(start: u64, bytes: u64) -> Range<u64> {
    start..start + bytes
}

/// Where the directory says that a sandbox has its memory, trace ring and record.
fn parts(directory: &Directory, sandbox: usize) -> [Range<u64>; 3] {
    let entry = directory.entries[sandbox];
    [
        range(entry.memory, entry.memory_bytes),
        range(entry.trace, entry.trace_bytes),
        range(entry.exit_counts, 4096),
    ]
}

/// A machine whose cores all have come to rest in the hypervisor.
struct AtRest {
    platform: Platform,
    directory: Directory,
    cores: Vec<Core>,
}

impl AtRest {
    fn new(platform: Platform) -> Self {
        let mut machine = Running::start(&system(), platform);
        machine.run_to_the_end();
        machine.run_for(Duration::from_millis(1));
        let cores = (0..CORES).map(|core| Core::read(&mut machine, core));
        Self {
            platform,
            cores: cores.collect(),
            directory: machine.directory(),
        }
    }

    /// Memory is mapped to itself, nothing of it may be written and executed, and neither page
    /// zero nor the stack of boot is there.
    fn maps_nothing_odd(&self, index: usize) {
        let core = &self.cores[index];
        let boot_stack = hypervisor("boot_stack_guard")..hypervisor("boot_stack_top");
        let odd = |it: &&Mapped| it.address != it.frame || it.user || it.writable && it.executable;
        let odd: Vec<_> = core.pages.iter().filter(odd).collect();
        assert!(odd.is_empty(), "{}, core {index}: {odd:x?}", self.platform);
        for absent in [range(0, 4096), boot_stack] {
            let seen = core.of(&absent);
            assert!(
                seen.is_empty(),
                "{}, core {index}: {seen:x?}",
                self.platform
            );
        }
    }

    /// Of its own sandbox a core reads the memory and writes the record, and has a stack.
    fn maps_its_own(&self, index: usize) {
        let core = &self.cores[index];
        let [memory, trace, record] = parts(&self.directory, index);
        let own = core.of(&memory);
        let bytes: u64 = own.iter().map(|page| page.bytes).sum();
        assert_eq!(
            bytes,
            memory.end - memory.start,
            "{}, core {index}",
            self.platform
        );
        assert!(own.iter().all(|page| !page.writable && !page.executable));
        assert!(
            core.of(&trace).is_empty(),
            "{}, core {index}",
            self.platform
        );
        for written in [record, range(core.stack, 8)] {
            let seen = core.of(&written);
            assert!(seen.len() == 1 && seen[0].writable, "{seen:x?}");
        }
    }

    /// The page with the seal's word of the sealed channel, behind its halves.
    fn seal(&self) -> Range<u64> {
        range(self.directory.channels[1].as_u64() + 2 * 4096, 4096)
    }

    /// A seal's word is mapped where the hypervisor changes it, and its channel's halves nowhere.
    fn maps_seals_where_changed(&self, index: usize) {
        let (core, seal) = (&self.cores[index], self.seal());
        let seen = core.of(&seal);
        assert_eq!(seen.len(), usize::from(index != STRANGER), "core {index}");
        assert!(seen.iter().all(|it| it.writable && it.bytes == 4096));
        let halves = seal.start - 2 * 4096..seal.start;
        assert!(core.of(&halves).is_empty(), "core {index}");
    }

    /// Of another sandbox and its core, and of what channels hold, a core has nothing: all that two
    /// cores have in common are the hypervisor's image, the interrupt controllers, and the words of
    /// seals.
    fn maps_nothing_of_another(&self, index: usize, other: usize) {
        let (core, its) = (&self.cores[index], &self.cores[other]);
        let channel = range(self.directory.channels[0].as_u64(), 4096);
        let parts = parts(&self.directory, other);
        for part in parts.iter().chain([&range(its.stack, 8), &channel]) {
            let seen = core.of(part);
            assert!(
                seen.is_empty(),
                "{}, core {index} of {other}: {seen:x?}",
                self.platform
            );
        }
        let image = hypervisor("hypervisor_start")..hypervisor("hypervisor_end");
        let is_shared = |it: &Mapped| {
            let end = it.frame + it.bytes;
            image.contains(&it.frame) && end <= image.end
                || CONTROLLERS.contains(&it.frame)
                || self.seal().contains(&it.frame)
        };
        let private = core.pages.iter().filter(|it| !is_shared(it));
        let common = private.filter(|it| !its.of(&range(it.frame, it.bytes)).is_empty());
        let common: Vec<_> = common.collect();
        assert!(
            common.is_empty(),
            "{}, cores {index} and {other}: {common:x?}",
            self.platform
        );
    }

    /// The interrupt controllers are mapped where the hypervisor writes them.
    fn maps_controllers_where_needed(&self, index: usize) {
        let reaches = |address| !self.cores[index].of(&range(address, 4096)).is_empty();
        let found = (reaches(IO_APIC), reaches(LOCAL_APIC));
        let needed = (index == DRIVER, !self.platform.has_x2apic());
        assert_eq!(found, needed, "{}, core {index}", self.platform);
    }
}

/// The address of a symbol of the hypervisor.
fn hypervisor(name: &str) -> u64 {
    symbol(build::HYPERVISOR, |it| it == name).start
}

fn each_core_maps_its_own(platform: Platform) {
    let machine = AtRest::new(platform);
    for index in 0..CORES {
        machine.maps_nothing_odd(index);
        machine.maps_its_own(index);
        machine.maps_controllers_where_needed(index);
        machine.maps_seals_where_changed(index);
        for other in (0..CORES).filter(|other| *other != index) {
            machine.maps_nothing_of_another(index, other);
        }
    }
}

on_each_machine! {
    the_hypervisor_on_each_core_maps_its_own_sandbox_alone => each_core_maps_its_own;
}
