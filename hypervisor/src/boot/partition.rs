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
use crate::sandbox::record::{Owner, Record};
use crate::speculation::{
    arch_capabilities, leaks_between_threads, thread_shift, threads_of_one_core,
};
use crate::vendor::{AnyGuest, Vendor};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::AtomicBool;
use tern_abi::boot::{ApicAccess, SandboxBoot};
use tern_abi::directory::DirectoryEntry;
use tern_config::layout::LEAST_DOORBELL;
use tern_config::partition::{View, windows};
use tern_config::{Image, Private, System};
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

    let mut partitions: Vec<Partition> = Vec::with_capacity(parts.len());
    for (index, (windows, memory, trace, record)) in parts.into_iter().enumerate() {
        let sandbox = &system.sandboxes[index];
        let mut reach = reach_of_registers(facts);
        reach.ports = ports::of_devices(system, sandbox, &facts.machine)?;
        reach.memory = Vec::with_capacity(windows.len());
        reach.memory.extend(windows.iter().map(|window| {
            let (host, access) = match window.view {
                View::Memory => (memory, Access::Full),
                View::Image => (image, Access::ReadOnly),
                View::ExitCounts => {
                    let counts = HostPhysical::new(&raw const *record as u64);
                    (counts, Access::ReadOnly)
                }
                View::Trace => (trace, Access::ReadWrite),
                View::Channel { index, is_writer } => {
                    let access = if is_writer {
                        Access::ReadWrite
                    } else {
                        Access::ReadOnly
                    };
                    (channels[index as usize], access)
                }
            };
            Mapping {
                guest: window.guest,
                host,
                bytes: window.bytes,
                access,
            }
        }));
        let partition = Partition {
            apic_id: facts.machine.cores[sandbox.core as usize],
            index,
            memory,
            memory_bytes: sandbox.memory_bytes,
            trace,
            trace_bytes: system.trace_window(),
            record,
            reach,
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
            lines: lines
                .map(|device| &system.devices[*device as usize])
                .filter(|device| device.channels.is_none())
                .map(|device| device.interrupt)
                .collect(),
            has_ended: AtomicBool::new(false),
        }));
        let sandbox = Sandbox {
            owner,
            memory: self.memory.as_u64(),
            memory_bytes: self.memory_bytes,
            apic_id: self.apic_id,
            doorbells: doorbells(system, self.index as u32, facts)?,
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
