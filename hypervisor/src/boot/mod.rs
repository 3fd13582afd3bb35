//! From the loader's hand-over to running sandboxes, in order: what the machine is,
//! what the image wants, who gets which memory, and then all cores at once.
mod confinement;
pub mod information;
mod machine;
mod partition;
mod partition_error;
mod ports;

use crate::cores::Core;
use crate::devices::io_apic::{self, Target};
use crate::faults;
use crate::memory::frames::{Frames, LARGE_PAGE, OutOfMemory};
use crate::memory::host_tables::{self, LOW_MEMORY, Own};
use crate::ranges::Range;
use crate::sandbox::RUNNING;
use crate::sandbox::seal::TIME_EPOCH;
use crate::say;
use crate::vendor::Vendor;
use crate::{ending, shutdown};
use alloc::vec::Vec;
use arrayvec::ArrayVec;
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;
use information::Information;
use machine::MachineFacts;
use partition::{Facts, Partition};
use tern_abi::directory::DirectoryHeader;
use tern_config::{Image, ImageError, Machine, Private, System, check_machine};
use tern_machine::apic::LocalApic;
use tern_machine::cpu::timestamp;
use tern_machine::port;
use tern_units::{Duration, HostPhysical, PAGE_SIZE};

/// From the release of the first sandbox to the time epoch, in which kernels set themselves
/// up, in milliseconds; unless the loader says otherwise.
const LEAD_MS: u64 = 500;
/// Timestamp counters further apart than this cannot share a time epoch.
const SKEW_LIMIT: Duration = Duration::from_micros(10);

/// Prints why the machine cannot run the system and what to do, and halts it.
fn refuse(line: fmt::Arguments<'_>) -> ! {
    say!("cannot start: {line}");
    ending::begin();
    port::stop_emulator();
    ending::rest()
}

trait OrRefuse<T> {
    fn or_refuse(self) -> T;
}

impl<T, E: fmt::Display> OrRefuse<T> for Result<T, E> {
    fn or_refuse(self) -> T {
        self.unwrap_or_else(|error| refuse(format_args!("{error}")))
    }
}

impl fmt::Display for OutOfMemory {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "no free memory for {} KiB in one piece: add memory or give sandboxes less",
            self.bytes >> 10
        )
    }
}

/// Boots: called once by the entry code, on the boot core. `own` is where the
/// hypervisor itself lies; `seal` ends allocation.
///
/// # Safety
/// The entry code's state: 4 GiB mapped to themselves, interrupts off, `address` and
/// `protocol` as the loader gave them.
pub unsafe fn boot(address: u64, protocol: u64, own: &Own, seal: fn()) -> ! {
    // SAFETY: the hypervisor owns the legacy controllers; the entry code's state.
    let information = unsafe {
        faults::load_boot_tables();
        port::disable_legacy_interrupt_controllers();
        machine::read_information(address, protocol)
    }
    .or_refuse();
    say!("hypervisor {}", env!("CARGO_PKG_VERSION"));
    let vendor = Vendor::find().or_refuse();
    machine::check_features().or_refuse();
    // SAFETY: the module is loaded where the loader says, below 4 GiB.
    let module = unsafe { module(&information) };
    let image = Image::parse(module).or_refuse();
    // What sandboxes see of the module ends with the image: behind it are their keys.
    let (module, behind) = module.split_at(image.len());
    let private = Private::parse(behind);
    let private = private.ok_or(ImageError::BadPrivate).or_refuse();
    let system = image.system();
    // SAFETY: the entry code's state.
    let found = unsafe { machine::discover(&information) }.or_refuse();
    // SAFETY: of the entry code's state nothing is used any more but its tables and stack.
    let ground = unsafe { take_memory(&information, own, system, &found, vendor) };
    let Ground {
        mut frames,
        available,
        cores,
        root,
        trampoline,
    } = ground;

    // SAFETY: this is the boot core.
    let local = unsafe { cores[0].prepare() };
    let timing = machine::measure(&found, information.tsc_hertz, local).or_refuse();
    let facts = Facts {
        machine: found,
        timing,
        vendor,
        local,
    };
    say_facts(&facts, &available);
    let plan = partition::plan(system, module, &facts, &mut frames);
    let (mut partitions, channels) = plan.or_refuse();
    for core in &cores {
        let own_part = partitions.iter_mut().find(|it| it.apic_id == core.apic_id);
        let launch = own_part.map(|it| it.prepare(&image, &facts, &mut frames).or_refuse());
        let private = confinement::private(core, launch.as_ref(), &facts);
        core.confine(host_tables::of_core(&mut frames, own, &private).or_refuse());
        if let Some(launch) = launch {
            core.assign(launch);
        }
    }
    for core in &cores[1..] {
        start_core(core, &facts, root, trampoline);
    }
    shutdown::remember(cores.iter().map(|core| core.apic_id).collect());
    io_apic::remember(facts.machine.tables.clone());
    // SAFETY: the hypervisor owns the I/O APICs.
    unsafe { route_devices(system, &partitions, &facts.machine) };

    let page = frames.page().or_refuse();
    let lead = Duration::from_millis(information.lead_ms.unwrap_or(LEAD_MS));
    let epoch = timestamp() + facts.timing.tsc.to_ticks(lead);
    for partition in &mut partitions {
        partition.hand_over(&image, &private, &facts, epoch);
    }
    TIME_EPOCH.store(epoch, Ordering::Relaxed);
    write_directory(page, &partitions, &channels, &facts, epoch);
    RUNNING.store(partitions.len(), Ordering::Relaxed);
    seal();
    for core in &cores[1..] {
        core.release();
    }
    // SAFETY: prepared and confined above.
    unsafe { cores[0].run() }
}

/// What everything else is built on.
struct Ground {
    frames: Frames,
    /// What there is for sandboxes.
    available: Machine,
    /// The cores that are needed, the boot core first.
    cores: Vec<&'static Core>,
    /// The hypervisor's own page tables, which are loaded.
    root: HostPhysical,
    /// The page that other cores start at.
    trampoline: NonNull<u8>,
}

/// Makes sure that the machine is large enough, and takes its memory over: all that is free,
/// under page tables of the hypervisor's own.
///
/// # Safety
/// The entry code's state, of which nothing but its tables and stack is used any more.
unsafe fn take_memory(
    information: &Information,
    own: &Own,
    system: &System,
    found: &MachineFacts,
    vendor: Vendor,
) -> Ground {
    let mut low = machine::free_memory(information, own);
    let available = Machine {
        cores: found.cores.len() as u32,
        memory_bytes: low.aligned_bytes(LARGE_PAGE),
    };
    check_machine(system, &available).or_refuse();
    let high = low.split_off(LOW_MEMORY);
    // SAFETY: free memory by the loader's map, of which nothing is used any more; the
    // entry code mapped it to itself.
    let mut frames = unsafe { Frames::new(low) };
    let trampoline = frames.low_page().or_refuse();
    let cores = needed_cores(system, found, vendor, &mut frames);
    let startup = Range::new(trampoline.as_ptr() as u64, PAGE_SIZE as u64);
    let guards = cores.iter().map(|core| core.guard());
    let root =
        host_tables::of_boot(&mut frames, &information.memory, own, guards, startup).or_refuse();
    // SAFETY: the tables map all that is in use, and now all memory.
    unsafe {
        host_tables::load(root);
        frames.add(&high);
    }
    Ground {
        frames,
        available,
        cores,
        root,
        trampoline,
    }
}

fn say_facts(facts: &Facts, available: &Machine) {
    say!(
        "{} cores, {} MiB free, {} by {}, timestamp counter {} kHz, APIC timer {} kHz",
        available.cores,
        available.memory_bytes >> 20,
        facts.vendor.name(),
        if facts.local == LocalApic::X2apic {
            "x2APIC"
        } else {
            "xAPIC"
        },
        facts.timing.tsc.hertz() / 1000,
        facts.timing.apic_hertz / 1000
    );
}

/// # Safety
/// The module is where the loader says, and stays as it is.
unsafe fn module(information: &Information) -> &'static [u8] {
    const LIMIT: u64 = 4 << 30;
    match information.module {
        Some(range) if range.end <= LIMIT && range.start < range.end => {
            // SAFETY: as the caller vouches; below 4 GiB memory is mapped to itself.
            unsafe { core::slice::from_raw_parts(range.start as *const u8, range.bytes() as usize) }
        }
        _ => refuse(format_args!(
            "no boot module: pass the system image (QEMU: -initrd, GRUB: module2)"
        )),
    }
}

/// The boot core, and the others that sandboxes are on.
fn needed_cores(
    system: &System,
    facts: &MachineFacts,
    vendor: Vendor,
    frames: &mut Frames,
) -> Vec<&'static Core> {
    let mut cores = Vec::from([Core::new(frames, facts.cores[0], vendor).or_refuse()]);
    for (position, &id) in facts.cores.iter().enumerate().skip(1) {
        if system
            .sandboxes
            .iter()
            .any(|sandbox| sandbox.core as usize == position)
        {
            cores.push(Core::new(frames, id, vendor).or_refuse());
        }
    }
    cores
}

/// Starts a core, and compares its time with the boot core's.
fn start_core(core: &'static Core, facts: &Facts, root: HostPhysical, trampoline: NonNull<u8>) {
    let tsc = facts.timing.tsc;
    // SAFETY: one core at a time, on a page taken from the memory map; the tables are
    // the boot core's.
    unsafe { core.start(facts.local, trampoline, root, tsc) }.or_refuse();
    let skew = core.skew(tsc).or_refuse();
    if skew > tsc.to_ticks(SKEW_LIMIT) {
        refuse(format_args!(
            "the timestamp counter of core {} is {skew} ticks off the boot core's: \
             use a machine with synchronized counters",
            core.apic_id
        ));
    }
}

/// # Safety
/// The hypervisor owns the I/O APICs.
unsafe fn route_devices(system: &System, partitions: &[Partition], facts: &MachineFacts) {
    // SAFETY: as the caller vouches.
    unsafe { io_apic::mask_all(&facts.tables) };
    for (index, partition) in partitions.iter().enumerate() {
        let plan = system.interrupt_plan(index);
        for &device in &system.sandboxes[index].devices {
            let device = &system.devices[device as usize];
            // What nobody serves stays masked.
            let Some(vector) = plan.vector(device.interrupt) else {
                continue;
            };
            let target = Target {
                core: partition.apic_id,
                vector,
            };
            // SAFETY: as the caller vouches.
            let routed = unsafe { io_apic::route(&facts.tables, device.interrupt, Some(target)) };
            if let Err(error) = routed {
                refuse(format_args!(
                    "interrupt {} of device \"{}\": {error}",
                    device.interrupt, device.name
                ));
            }
        }
    }
}

/// Fills the directory page and prints where it is.
fn write_directory(
    page: HostPhysical,
    partitions: &[Partition],
    channels: &[HostPhysical],
    facts: &Facts,
    epoch: u64,
) {
    let header = DirectoryHeader {
        tsc_hertz: facts.timing.tsc.hertz(),
        epoch_tsc: epoch,
        entries: partitions.len() as u64,
    };
    let mut words: ArrayVec<u64, { PAGE_SIZE / 8 }> = ArrayVec::new();
    words.extend(header.to_words());
    for partition in partitions {
        words.extend(partition.entry().to_words());
    }
    let room = words.remaining_capacity();
    let addresses = channels.iter().map(|channel| channel.as_u64());
    words.extend(addresses.take(room));
    for (i, word) in words.iter().enumerate() {
        // SAFETY: a fresh page, which `words` fits; read from outside alone.
        unsafe { (page.as_u64() as *mut u64).add(i).write_volatile(*word) };
    }
    say!("directory at {page}");
}
