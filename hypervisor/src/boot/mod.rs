//! From the loader's hand-over to running sandboxes, in order: what the machine is,
//! what the image wants, who gets which memory, and then all cores at once.
pub mod information;
mod machine;
mod partition;

use crate::cores::{self, Core};
use crate::frames::{Frames, OutOfMemory};
use crate::ranges::Range;
use crate::sandbox::RUNNING;
use crate::vendor::Vendor;
use crate::{io_apic, say};
use alloc::vec::Vec;
use arrayvec::ArrayVec;
use core::fmt;
use core::sync::atomic::Ordering;
use information::Information;
use machine::MachineFacts;
use partition::{Facts, Partition};
use tern_abi::directory::DirectoryHeader;
use tern_config::{Image, Machine, System, check_machine};
use tern_machine::cpu::{halt_forever, timestamp};
use tern_machine::port;
use tern_units::{Duration, HostPhysical, PAGE_SIZE};

/// From the release of the first sandbox to the time epoch: kernels set themselves up.
const LEAD: Duration = Duration::from_millis(500);
/// Timestamp counters further apart than this cannot share a time epoch.
const SKEW_LIMIT: Duration = Duration::from_micros(10);

/// Prints why the machine cannot run the system and what to do, and halts it.
fn refuse(line: fmt::Arguments<'_>) -> ! {
    cores::abandon();
    say!("cannot start: {line}");
    halt_forever()
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

/// Boots: called once by the entry code, on the boot core. `image` is where the
/// hypervisor itself lies; `seal` ends allocation.
///
/// # Safety
/// The entry code's state: 4 GiB mapped to themselves, interrupts off, `address` and
/// `protocol` as the loader gave them.
pub unsafe fn boot(address: u64, protocol: u64, own: Range, seal: fn()) -> ! {
    // SAFETY: the hypervisor owns the legacy controllers; the entry code's state.
    let information = unsafe {
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
    let system = image.system();
    // SAFETY: the entry code's state; the loader's memory map.
    let (facts, mut frames) = unsafe {
        let facts = machine::discover(&information).or_refuse();
        let frames = machine::free_memory(&information, own, &facts);
        (facts, frames)
    };
    let available = Machine {
        cores: facts.cores.len() as u32,
        memory_bytes: frames.large_bytes(),
    };
    check_machine(system, &available).or_refuse();

    let trampoline = frames.low_page().or_refuse();
    let boot_core = Core::new(&mut frames, facts.cores[0], vendor).or_refuse();
    // SAFETY: this is the boot core.
    let local = unsafe { boot_core.prepare() };
    let timing = machine::measure(&facts, information.tsc_hertz, local).or_refuse();
    say!(
        "{} cores, {} MiB free, {} by {}, timestamp counter {} kHz, APIC timer {} kHz",
        facts.cores.len(),
        available.memory_bytes >> 20,
        vendor.name(),
        if local == tern_machine::apic::LocalApic::X2apic {
            "x2APIC"
        } else {
            "xAPIC"
        },
        timing.tsc.hertz() / 1000,
        timing.apic_hertz / 1000
    );
    let facts = Facts {
        machine: facts,
        timing,
        vendor,
        local,
    };
    let partitions = partition::plan(system, module, &facts, &mut frames).or_refuse();

    let cores = start_cores(&facts, boot_core, &partitions, &mut frames, trampoline);
    cores::remember(
        cores.iter().map(|core| core.apic_id).collect(),
        facts.machine.tables.clone(),
    );
    // SAFETY: the hypervisor owns the I/O APICs.
    unsafe { route_devices(system, &partitions, &facts.machine) };

    let epoch = timestamp() + facts.timing.tsc.to_ticks(LEAD);
    write_directory(&partitions, &facts, epoch, &mut frames);
    RUNNING.store(partitions.len(), Ordering::Relaxed);
    for partition in partitions {
        let core = cores.iter().find(|core| core.apic_id == partition.apic_id);
        let (guest, sandbox) = partition
            .launch(&image, &facts, epoch, &mut frames)
            .or_refuse();
        if let Some(core) = core {
            core.assign(guest, sandbox);
        }
    }
    seal();
    for core in cores.iter().skip(1) {
        core.release();
    }
    // SAFETY: prepared above.
    unsafe { boot_core.run() }
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

/// Starts the cores that sandboxes are on, the boot core first in the result.
fn start_cores(
    facts: &Facts,
    boot_core: &'static Core,
    partitions: &[Partition],
    frames: &mut Frames,
    trampoline: core::ptr::NonNull<u8>,
) -> Vec<&'static Core> {
    let mut cores = Vec::from([boot_core]);
    let others = facts.machine.cores.iter().skip(1);
    for &id in others.filter(|&&id| partitions.iter().any(|it| it.apic_id == id)) {
        let core = Core::new(frames, id, facts.vendor).or_refuse();
        // SAFETY: one core at a time, on a page taken from the memory map.
        unsafe { core.start(frames, facts.local, trampoline, facts.timing.tsc) }.or_refuse();
        let skew = core.skew(facts.timing.tsc).or_refuse();
        if skew > facts.timing.tsc.to_ticks(SKEW_LIMIT) {
            refuse(format_args!(
                "the timestamp counter of core {id} is {skew} ticks off the boot core's: \
                 use a machine with synchronized counters"
            ));
        }
        cores.push(core);
    }
    cores
}

/// # Safety
/// The hypervisor owns the I/O APICs.
unsafe fn route_devices(system: &System, partitions: &[Partition], facts: &MachineFacts) {
    // SAFETY: as the caller vouches.
    unsafe { io_apic::mask_all(&facts.tables) };
    for (sandbox, partition) in system.sandboxes.iter().zip(partitions) {
        for &device in &sandbox.devices {
            let device = &system.devices[device as usize];
            // SAFETY: as the caller vouches.
            let routed =
                unsafe { io_apic::route(&facts.tables, device.interrupt, Some(partition.apic_id)) };
            if routed.is_err() {
                refuse(format_args!(
                    "no I/O APIC serves interrupt {} of device \"{}\": correct the description",
                    device.interrupt, device.name
                ));
            }
        }
    }
}

/// Fills the directory page and prints where it is.
fn write_directory(partitions: &[Partition], facts: &Facts, epoch: u64, frames: &mut Frames) {
    let page: HostPhysical = frames.page().or_refuse();
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
    for (i, word) in words.iter().enumerate() {
        // SAFETY: a fresh page, which `words` fits; read from outside alone.
        unsafe { (page.as_u64() as *mut u64).add(i).write_volatile(*word) };
    }
    say!("directory at {page}");
}
