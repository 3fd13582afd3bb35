//! The sandbox kernel: schedules the threads of one core in servers, runs programs in
//! ring 3, and does the fault-tolerance work of replicas.
#![no_std]
#![no_main]

extern crate alloc;

mod clock;
mod console;
mod cpu;
mod drivers;
mod fault;
mod hypercall;
mod image;
mod memory;
mod program;
mod sync;
mod tasks;
mod thread;
mod trace;
mod traps;

use core::arch::asm;
use cpu::descriptors::{self, HandlerStacks};
use cpu::{apic, task_priority};
use hypercall::{StopReason, stop};
use image::{description, keys, start_information};
use memory::frames;
use memory::layout::{DIRECT_BASE, direct};
use memory::paging::{Access, AddressSpace, Stack};
use sync::boot_cell::BootOnce;
use tasks::thread_entry;
use tern_config::partition::HANDLER_STACKS;
use tern_config::{Image, channel_address};
use tern_machine::bump::ProvidedBump;
use tern_units::{GuestPhysical, TscFrequency};
use traps::entry::entries;
use traps::last_words;

tern_machine::freestanding!();

/// What boot may allocate: the description, control blocks, page lists. How much that is the
/// hypervisor knows, from the description.
#[global_allocator]
static HEAP: ProvidedBump = ProvidedBump::new();

/// What the first part of boot leaves for the second, which runs on another stack.
#[derive(Debug)]
struct Foundation {
    boot: start_information::BootFacts,
    space: AddressSpace,
}

static FOUNDATION: BootOnce<Foundation> = BootOnce::new();

/// The first Rust: called by the PVH entry on the boot stack, interrupts off.
extern "C" fn start(information: u64) -> ! {
    // SAFETY: the PVH entry passes what it found in EBX.
    let facts =
        unsafe { start_information::read_start_information(GuestPhysical::new(information)) };
    let facts = or_stop(facts);
    hypercall::initialize(facts.sandbox.vendor);
    or_stop(start_information::check_processor());
    descriptors::enable_protections();
    frames::initialize(facts.sandbox.memory_bytes);
    let space = AddressSpace::kernel(
        facts.sandbox.memory_bytes,
        facts.sandbox.trace_bytes,
        facts.image_bytes,
    );
    let idle = Stack::map(space, 0);
    // SAFETY: the new tables map the kernel as the boot tables do; from here on the
    // boot stack is left for the idle thread's, which has a guard.
    unsafe {
        FOUNDATION.set(Foundation { boot: facts, space });
        space.load();
        asm!(
            "mov rsp, {top}",
            "xor ebp, ebp",
            "call {next}",
            "ud2",
            top = in(reg) idle.top(),
            next = sym start_on_stack,
            options(noreturn)
        );
    }
}

/// The rest of boot, on the stack that becomes the idle thread's.
extern "C" fn start_on_stack() -> ! {
    let Foundation { boot, space } = FOUNDATION.get();
    let stacks = HandlerStacks {
        interrupt: Stack::map(*space, 1),
        double_fault: Stack::map(*space, 2),
        non_maskable: Stack::map(*space, 3),
        machine_check: Stack::map(*space, 4),
    };
    let heap_bytes = boot.sandbox.heap_bytes;
    let heap = direct(frames::allocate_heap(heap_bytes)) as *mut u8;
    // SAFETY: boot, interrupts off; each of these is called once. The heap is memory of the
    // sandbox that nobody else has, in the direct map, and nothing has been allocated before.
    unsafe {
        HEAP.provide(heap, heap_bytes as usize);
        descriptors::initialize(&stacks, entries());
        or_stop(start_services(boot, *space));
        if or_stop(description::reads_timestamps()) {
            descriptors::allow_timestamps();
        }
        let starts = thread_entry::prepare(*space, HANDLER_STACKS);
        if let Err(error) = thread::initialize(&thread_entry::servers(), &starts, 0) {
            panic!("the system description's servers: {error}");
        }
        task_priority::initialize(&description::interrupt_plan());
        apic::initialize(&boot.sandbox);
    }
    let threads = description::sandbox().threads().count();
    let (used, _) = HEAP.used();
    say!(
        "kernel: {} servers, {threads} threads, {} KiB of memory free, {} KiB of {} KiB heap used",
        description::sandbox().servers.len(),
        frames::free_bytes() >> 10,
        used >> 10,
        heap_bytes >> 10
    );
    HEAP.seal();
    // SAFETY: boot ends here, on the stack of slot 0.
    unsafe { thread::run() }
}

/// Clock, trace, description, channels.
///
/// # Safety
/// Only during boot, once, with interrupts off.
unsafe fn start_services(
    boot: &start_information::BootFacts,
    space: AddressSpace,
) -> Result<(), &'static str> {
    let frequency = TscFrequency::from_hertz(boot.sandbox.tsc_hertz)
        .ok_or("the boot words say that the timestamp counter stands still")?;
    let length = usize::try_from(boot.image_bytes).map_err(|_| "the image is too long")?;
    // SAFETY: the kernel's tables map the image read-only for good.
    let bytes = unsafe { core::slice::from_raw_parts(direct(boot.image) as *const u8, length) };
    // The hypervisor has verified the image's hash.
    let image = match Image::parse_verified(bytes) {
        Ok(image) => image,
        Err(error) => panic!("system image: {error}"),
    };
    let length = usize::try_from(boot.keys_bytes).map_err(|_| "the keys are too many")? / 8;
    // SAFETY: the hypervisor has put them at a page's begin in memory of this sandbox that
    // nobody has been given.
    let own_words = unsafe { core::slice::from_raw_parts(direct(boot.keys) as *const u64, length) };
    // SAFETY: the caller vouches that this is boot.
    unsafe {
        clock::initialize(frequency, boot.sandbox.epoch_tsc);
        description::initialize(image, boot.sandbox.sandbox as usize)?;
        keys::initialize(own_words)?;
        trace::initialize(boot.sandbox.trace_bytes, description::system().trace_mode);
    }
    for (index, channel) in (0..).zip(&description::system().channels) {
        let access = match description::channel_role(index) {
            Some(description::Role::Writer) => Access::Write,
            Some(description::Role::Reader) => Access::Read,
            None => continue,
        };
        let address = channel_address(description::system(), index as usize)
            .ok_or("the channels do not fit their window")?;
        space.map_range(DIRECT_BASE, address, channel.memory_bytes(), access);
    }
    Ok(())
}

/// Unwraps what boot cannot do without, or says why not and stops this sandbox.
fn or_stop<T>(result: Result<T, &'static str>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => {
            last_words::say_last_words(format_args!("kernel cannot start: {error}"));
            stop(StopReason::Boot)
        }
    }
}
