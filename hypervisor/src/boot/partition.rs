//! Who gets what: each sandbox's memory, trace ring, channels, ports and registers,
//! from the description, and nothing else.
use super::machine::{MachineFacts, Timing};
use super::partition_error::PartitionError;
use super::ports;
use crate::console::{LineBuffer, SandboxConsole};
use crate::doorbell::Doorbell;
use crate::guest::Reach;
use crate::loader;
use crate::memory::frames::{Frames, LARGE_PAGE, OutOfMemory};
use crate::memory::mapping::{Access, Mapping};
use crate::sandbox::Sandbox;
use crate::sandbox::handover::{Share, SharedDevice, Verdict};
use crate::sandbox::record::{Owner, Record};
use crate::sandbox::seal::{ChannelSeal, ClosableChannel, SealedChannel};
use crate::speculation::{
    arch_capabilities, leaks_between_threads, thread_shift, threads_of_one_core,
};
use crate::vendor::{AnyGuest, Vendor};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU64};
use tern_abi::boot::{ApicAccess, SandboxBoot};
use tern_abi::directory::DirectoryEntry;
use tern_abi::ownership::OWNER_WORD;
use tern_config::layout::LEAST_DOORBELL;
use tern_config::partition::{View, Window, windows};
use tern_config::{Device, Image, Private, System};
use tern_machine::apic::{LocalApic, MSR_APIC_BASE, MSR_TSC_DEADLINE, Register};
use tern_units::{Duration, HostPhysical, PAGE_SIZE};

/// What is known of the machine once its clocks are measured.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Cores and controllers.
    pub machine: MachineFacts,
    /// Clocks.
    pub timing: Timing,
    /// Virtualization.
    pub vendor: Vendor,
    /// How the hypervisor reaches local APICs.
    pub local: LocalApic,
}

/// One sandbox's part of the machine.
#[derive(Debug)]
pub struct Partition {
    /// APIC id of its core.
    pub apic_id: u32,
    index: usize,
    memory: HostPhysical,
    memory_bytes: u64,
    trace: HostPhysical,
    trace_bytes: u64,
    record: &'static Record,
    reach: Reach,
    seals: Vec<SealedChannel>,
    closable: Vec<ClosableChannel>,
    share: Option<Share>,
}

/// Where the pieces of memory are that one sandbox sees.
struct Pieces<'a> {
    memory: HostPhysical,
    trace: HostPhysical,
    image: HostPhysical,
    record: &'static Record,
    channels: &'a [HostPhysical],
}

impl Pieces<'_> {
    /// Returns what the sandbox sees in its windows, and both halves of each sealed channel that
    /// it writes.
    fn seen_in(&self, windows: &[Window], system: &System) -> (Vec<Mapping>, Vec<[Mapping; 2]>) {
        let is_own_half = |window: &&Window| match window.view {
            View::Half { is_writer, .. } => is_writer,
            View::Memory
            | View::Image
            | View::ExitCounts
            | View::Trace
            | View::Channel { .. }
            | View::Seal { .. } => false,
        };
        let own_halves = windows.iter().filter(is_own_half).count();
        let mut fixed = Vec::with_capacity(windows.len() - own_halves);
        let mut halves = Vec::with_capacity(own_halves);
        for window in windows {
            let mapping = self.seen(window, system);
            match is_own_half(&window) {
                true => halves.push(mapping),
                false => fixed.push(mapping),
            }
        }
        // They come one after the other.
        let halves = halves.chunks_exact(2).map(|both| [both[0], both[1]]);
        (fixed, halves.collect())
    }

    fn seen(&self, window: &Window, system: &System) -> Mapping {
        let described = |index: u32| &system.channels[index as usize];
        let channel = |index: u32, offset: u64| {
            HostPhysical::new(self.channels[index as usize].as_u64() + offset)
        };
        let (host, access) = match window.view {
            View::Memory => (self.memory, Access::Full),
            View::Image => (self.image, Access::ReadOnly),
            View::ExitCounts => {
                let counts = HostPhysical::new(ptr::from_ref(self.record) as u64);
                (counts, Access::ReadOnly)
            }
            View::Trace => (self.trace, Access::ReadWrite),
            View::Channel { index, is_writer } => {
                let access = match is_writer {
                    true => Access::ReadWrite,
                    false => Access::ReadOnly,
                };
                (channel(index, 0), access)
            }
            // Whether its writer may write it is chosen with its nested tables.
            View::Half { index, half, .. } => {
                let offset = described(index).half_offset(half);
                (channel(index, offset), Access::ReadOnly)
            }
            View::Seal { index } => {
                let offset = described(index).seal_offset();
                (channel(index, offset), Access::ReadOnly)
            }
        };
        Mapping {
            guest: window.guest,
            host,
            bytes: window.bytes,
            access,
        }
    }
}

/// Divides the machine. `module` is the boot module that holds the image.
///
/// # Errors
/// If the description does not fit the machine.
pub fn plan(
    system: &System,
    module: &'static [u8],
    facts: &Facts,
    frames: &mut Frames,
) -> Result<(Vec<Partition>, Vec<HostPhysical>), PartitionError> {
    let (image, image_bytes) = image_pages(module, frames)?;
    // The large pieces first, so that small ones do not break them up.
    let mut parts = Vec::with_capacity(system.sandboxes.len());
    for (index, sandbox) in system.sandboxes.iter().enumerate() {
        let windows = windows(system, index, image_bytes)?;
        let memory = frames.take(sandbox.memory_bytes, LARGE_PAGE)?;
        let trace = frames.take(system.trace_window(), LARGE_PAGE)?;
        // SAFETY: all zeroes is a record.
        let record: &'static Record = unsafe { frames.place::<Record>()? };
        parts.push((windows, memory, trace, record));
    }
    let mut channels = Vec::with_capacity(system.channels.len());
    for channel in &system.channels {
        channels.push(frames.take(channel.bytes, LARGE_PAGE)?);
    }

    let shared = shared_devices(system, &channels, facts);

    let mut partitions: Vec<Partition> = Vec::with_capacity(parts.len());
    for (index, (windows, memory, trace, record)) in parts.into_iter().enumerate() {
        let sandbox = &system.sandboxes[index];
        let mut reach = reach_of_registers(facts);
        let own = |_, device: &Device| !device.is_shared();
        reach.ports = ports::of_devices(system, sandbox, &facts.machine, own)?;
        let place = system.shared_device(index);
        let in_turns = |device, _: &Device| place.is_some_and(|(shared, _)| shared == device);
        let in_turns = ports::of_devices(system, sandbox, &facts.machine, in_turns)?;
        reach.shared_ports = in_turns.first().copied();
        let share = place.and_then(|(device, place)| {
            let shared = shared.iter().find(|it| it.index() == u64::from(device))?;
            Share::new(shared, place)
        });
        let pieces = Pieces {
            memory,
            trace,
            image,
            record,
            channels: &channels,
        };
        (reach.memory, reach.halves) = pieces.seen_in(&windows, system);
        let seals = seals(system, index as u32, &channels, facts);
        let closable = closable(system, index, &channels, facts);
        let partition = Partition {
            apic_id: facts.machine.cores[sandbox.core as usize],
            index,
            memory,
            memory_bytes: sandbox.memory_bytes,
            trace,
            trace_bytes: system.trace_window(),
            record,
            reach,
            seals,
            closable,
            share,
        };
        if partitions
            .iter()
            .any(|other| other.apic_id == partition.apic_id)
        {
            return Err(PartitionError::SharedCore {
                sandbox: sandbox.name.clone(),
            });
        }
        partitions.push(partition);
    }
    if leaks_between_threads(facts.vendor == Vendor::Intel, arch_capabilities()) {
        let cores: Vec<u32> = partitions.iter().map(|it| it.apic_id).collect();
        if let Some((first, second)) = threads_of_one_core(&cores, thread_shift()) {
            return Err(PartitionError::LeakyThreads {
                first: system.sandboxes[first].name.clone(),
                second: system.sandboxes[second].name.clone(),
            });
        }
    }
    Ok((partitions, channels))
}

/// The image as whole pages that can be mapped: where the loader put it if that is at
/// a page boundary, else a copy.
fn image_pages(module: &[u8], frames: &mut Frames) -> Result<(HostPhysical, u64), OutOfMemory> {
    let bytes = (module.len() as u64).next_multiple_of(PAGE_SIZE as u64);
    let address = module.as_ptr() as u64;
    if address.is_multiple_of(PAGE_SIZE as u64) && bytes == module.len() as u64 {
        return Ok((HostPhysical::new(address), bytes));
    }
    let copy = frames.take(bytes, PAGE_SIZE as u64)?;
    // SAFETY: fresh memory of at least that size, which no reference covers.
    unsafe {
        module
            .as_ptr()
            .copy_to_nonoverlapping(copy.as_u64() as *mut u8, module.len())
    };
    Ok((copy, bytes))
}

/// Registers of the processor that every sandbox reaches without an exit: with an
/// x2APIC its own local APIC, but for the interrupt command and the local entries.
fn reach_of_registers(facts: &Facts) -> Reach {
    const TIMESTAMP_COUNTER: u32 = 0x10;
    let mut reach = Reach {
        readable: Vec::from([TIMESTAMP_COUNTER, MSR_APIC_BASE]),
        ..Reach::default()
    };
    if facts.local != LocalApic::X2apic {
        return reach;
    }
    reach
        .readable
        .extend((0..=Register::TIMER_DIVIDE.0).map(|n| Register(n).msr()));
    reach.writable.extend(
        [
            Register::TASK_PRIORITY,
            Register::END_OF_INTERRUPT,
            Register::SPURIOUS,
            Register::ERROR_STATUS,
            Register::TIMER_INITIAL,
            Register::TIMER_DIVIDE,
            Register::SELF_INTERRUPT,
        ]
        .map(Register::msr),
    );
    if facts.timing.tsc_deadline {
        reach.writable.push(MSR_TSC_DEADLINE);
    }
    reach
}

impl Partition {
    /// Its entry in the directory.
    #[must_use]
    pub fn entry(&self) -> DirectoryEntry {
        DirectoryEntry {
            memory: self.memory.as_u64(),
            memory_bytes: self.memory_bytes,
            trace: self.trace.as_u64(),
            trace_bytes: self.trace_bytes,
            exit_counts: self.record.exits.as_ptr() as u64,
            apic_id: u64::from(self.apic_id),
            violation: self.record.violation.as_ptr() as u64,
        }
    }

    /// Loads its guest and builds everything that it starts with, but for what
    /// [`Partition::hand_over`] says.
    ///
    /// # Errors
    /// If the guest cannot be loaded or memory is used up.
    pub fn prepare(
        &mut self,
        image: &Image<'_>,
        facts: &Facts,
        frames: &mut Frames,
    ) -> Result<(AnyGuest, Sandbox), PartitionError> {
        let system = image.system();
        let description = &system.sandboxes[self.index];
        let failed = |error| PartitionError::Load {
            sandbox: description.name.clone(),
            file: description.kernel.clone(),
            error,
        };
        // A checked image has every file that its description names.
        let file = image.file(&description.kernel).unwrap_or(&[]);
        let start = loader::load(file, self.memory()).map_err(failed)?;
        let guest = facts.vendor.build(frames, &self.reach, start)?;
        let name: &'static str = Box::leak(description.name.clone().into_boxed_str());
        let console = SandboxConsole::open(self.index, name);
        let lines = description.devices.iter();
        let owner = Box::leak(Box::new(Owner {
            name,
            record: self.record,
            console,
            local: facts.local,
            vendor: facts.vendor,
            lines: lines
                .map(|device| &system.devices[*device as usize])
                .filter(|device| device.channels.is_none() && !device.is_shared())
                .map(|device| device.interrupt)
                .collect(),
            share: self.share,
            has_ended: AtomicBool::new(false),
        }));
        let sandbox = Sandbox {
            owner,
            memory: self.memory.as_u64(),
            memory_bytes: self.memory_bytes,
            apic_id: self.apic_id,
            doorbells: doorbells(system, self.index as u32, facts)?,
            seals: self.seals.clone(),
            closable: self.closable.clone(),
            may_shut_down: description.may_shut_down,
            line: LineBuffer::new(console),
            nmi_was_told: false,
        };
        Ok((guest, sandbox))
    }

    /// Writes the start information into the guest's memory: the last step, as the time
    /// epoch is counted from it.
    pub fn hand_over(
        &mut self,
        image: &Image<'_>,
        private: &Private<'_>,
        facts: &Facts,
        epoch_tsc: u64,
    ) {
        let owns_apic = facts.local == LocalApic::X2apic;
        let boot = SandboxBoot {
            sandbox: self.index as u64,
            apic: if owns_apic {
                ApicAccess::X2apic
            } else {
                ApicAccess::Hypercall
            },
            vendor: facts.vendor.for_guests(),
            tsc_deadline: owns_apic && facts.timing.tsc_deadline,
            tsc_hertz: facts.timing.tsc.hertz(),
            apic_timer_hertz: facts.timing.apic_hertz,
            epoch_tsc,
            memory_bytes: self.memory_bytes,
            trace_bytes: self.trace_bytes,
            image_bytes: image.len() as u64,
            heap_bytes: image.kernel_heap_bytes(self.index),
        };
        let command_line = &image.system().sandboxes[self.index].command_line;
        let keys = private.of(self.index);
        loader::hand_over(self.memory(), &boot, command_line, keys);
    }

    fn memory(&mut self) -> &mut [u8] {
        // SAFETY: the partition's memory, mapped to itself; its guest does not run
        // while the partition is being prepared, and the slice borrows the partition.
        unsafe {
            core::slice::from_raw_parts_mut(
                self.memory.as_u64() as *mut u8,
                self.memory_bytes as usize,
            )
        }
    }
}

/// The sealed channels that a sandbox writes.
fn seals(
    system: &System,
    sandbox: u32,
    channels: &[HostPhysical],
    facts: &Facts,
) -> Vec<SealedChannel> {
    let indices = (0..).zip(&system.channels);
    let own = indices.filter(|(_, channel)| channel.writer == sandbox);
    own.filter_map(|(index, _)| {
        let seal = seal_of(system, index, channels, facts)?;
        let from = Duration::from_nanos(system.channels[index].seal_from);
        let tsc = facts.timing.tsc;
        Some(SealedChannel::new(index as u64, seal, from, tsc))
    })
    .collect()
}

/// The sealed channels that a sandbox reads and may close.
fn closable(
    system: &System,
    sandbox: usize,
    channels: &[HostPhysical],
    facts: &Facts,
) -> Vec<ClosableChannel> {
    system
        .closable(sandbox)
        .filter_map(|index| {
            let index = index as usize;
            let seal = seal_of(system, index, channels, facts)?;
            let close = Duration::from_nanos(system.channels[index].close?);
            Some(ClosableChannel::new(seal, close, facts.timing.tsc))
        })
        .collect()
}

/// The devices that sandboxes share, with what these seal about them.
fn shared_devices(
    system: &System,
    channels: &[HostPhysical],
    facts: &Facts,
) -> Vec<&'static SharedDevice> {
    let member = |index: &u32| {
        let index = *index as usize;
        let channel = &system.channels[index];
        let writer = &system.sandboxes[channel.writer as usize];
        let word = |half| {
            let offset = channel.half_offset(half) + 8 * OWNER_WORD as u64;
            let word = (channels[index].as_u64() + offset) as *const AtomicU64;
            // SAFETY: in the first page of a half of the channel's memory, which is taken for good,
            // mapped to itself, all zeroes, and shared with other cores as a word that changes.
            unsafe { &*word }
        };
        let verdict = seal_of(system, index, channels, facts).map(|seal| Verdict {
            seal: seal.word(),
            owner: [word(0), word(1)],
        });
        (facts.machine.cores[writer.core as usize], verdict)
    };
    let shared = (0..).zip(&system.devices);
    shared
        .filter(|(_, device)| device.is_shared())
        .map(|(index, device)| {
            let members = device.verdicts.iter().map(member);
            let ports = (device.port, device.port_count);
            let shared = SharedDevice::new(index, ports, members);
            &*Box::leak(Box::new(shared))
        })
        .collect()
}

/// The seal of a channel, if it is sealed.
fn seal_of(
    system: &System,
    index: usize,
    channels: &[HostPhysical],
    facts: &Facts,
) -> Option<ChannelSeal> {
    let channel = &system.channels[index];
    let interval = Duration::from_nanos(channel.seal?);
    let word = (channels[index].as_u64() + channel.seal_offset()) as *const AtomicU64;
    // SAFETY: in a page of the channel's memory, which is taken for good, mapped to itself, all
    // zeroes, and shared with other cores as a word that changes.
    let word = unsafe { &*word };
    Some(ChannelSeal::new(word, interval, facts.timing.tsc))
}

/// The doorbells of the channels that a sandbox writes.
fn doorbells(
    system: &System,
    sandbox: u32,
    facts: &Facts,
) -> Result<Vec<Doorbell>, PartitionError> {
    let core = |index: &u32| facts.machine.cores[system.sandboxes[*index as usize].core as usize];
    let own = system.channels.iter().enumerate();
    let own = own.filter(|(_, channel)| channel.writer == sandbox);
    let granted = own.filter_map(|(index, channel)| Some((index, channel, channel.doorbell?)));
    granted
        .map(|(index, channel, nanos)| {
            if nanos < LEAST_DOORBELL {
                return Err(PartitionError::Doorbell {
                    channel: channel.name.clone(),
                });
            }
            let others = channel.readers.iter().filter(|&&reader| reader != sandbox);
            let interval = facts.timing.tsc.to_ticks(Duration::from_nanos(nanos));
            Ok(Doorbell::new(
                index as u64,
                others.map(core).collect(),
                interval,
            ))
        })
        .collect()
}
