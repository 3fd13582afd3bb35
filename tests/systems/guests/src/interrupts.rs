//! A guest that uses its local APIC: a thousand one-shot timer interrupts, one that its task
//! priority holds off, an interrupt to itself, and doorbells along channel 0; it says how many
//! exits they took.
//!
//! Its command line is `writer` or `reader`, its end of channel 0.
#![no_std]
#![no_main]

use core::arch::asm;
use core::fmt::Write;
use core::sync::atomic::{AtomicU64, Ordering};
use spin::{Mutex, Once};
use tern_abi::boot::ApicAccess;
use tern_abi::directory::ExitReason;
use tern_abi::hypercall::Hypercall;
use tern_abi::layout::{CHANNEL_BASE, DOORBELL_VECTOR, SPURIOUS_VECTOR, TIMER_VECTOR};
use tern_guests::Guest;
use tern_machine::apic::{DIVIDE_BY_1, Register, SOFTWARE_ENABLE};
use tern_machine::cpu::{halt, halt_forever, timestamp, write_msr};
use tern_machine::descriptors::{Gate, InterruptTable, SegmentTable, TaskState};
use tern_machine::interrupts::{Frame, STUB_BYTES};

tern_guests::guest!();
tern_machine::interrupt_entry!("guest_vectors", "guest_interrupt");

unsafe extern "C" {
    static guest_vectors: u8;
}

const TIMERS: u64 = 1000;
/// APIC timer counts of one shot.
const SHOT: u32 = 20_000;
/// Vector of the timer while the task priority holds it off.
const HELD_VECTOR: u8 = 0x60;
/// Value that the writer leaves in the channel.
const MESSAGE: u64 = 0x7465_726e;

#[repr(align(16))]
struct Stack([u8; 16384]);

static SEGMENTS: Mutex<SegmentTable> = Mutex::new(SegmentTable::new());
static TASK: Once<TaskState> = Once::new();
static TABLE: Once<InterruptTable> = Once::new();
static STACK: Stack = Stack([0; 16384]);
static GUEST: Once<Guest> = Once::new();
static TIMER: AtomicU64 = AtomicU64::new(0);
static DOORBELL: AtomicU64 = AtomicU64::new(0);
static HELD: AtomicU64 = AtomicU64::new(0);
static OTHER: AtomicU64 = AtomicU64::new(0);

#[unsafe(no_mangle)]
extern "C" fn guest_interrupt(frame: &mut Frame) {
    let count = match u8::try_from(frame.vector) {
        Ok(TIMER_VECTOR) => &TIMER,
        Ok(DOORBELL_VECTOR) => &DOORBELL,
        Ok(HELD_VECTOR) => &HELD,
        Ok(SPURIOUS_VECTOR) => return,
        Ok(32..) => &OTHER,
        _ => halt_forever(),
    };
    count.fetch_add(1, Ordering::Relaxed);
    if let Some(guest) = GUEST.get() {
        write(guest, Register::END_OF_INTERRUPT, 0);
    }
}

fn write(guest: &Guest, register: Register, value: u32) {
    match guest.boot.apic {
        // SAFETY: the register exists and is this sandbox's.
        ApicAccess::X2apic => unsafe { write_msr(register.msr(), u64::from(value)) },
        ApicAccess::Hypercall => {
            guest.call(
                Hypercall::ApicWrite as u64,
                u64::from(register.0),
                u64::from(value),
            );
        }
    }
}

/// Called by the entry code.
#[unsafe(no_mangle)]
extern "C" fn start(information: u64, _protocol: u64) -> ! {
    // SAFETY: the entry code hands over what PVH gave it.
    let Some(mut guest) = (unsafe { Guest::read(information) }) else {
        halt_forever()
    };
    GUEST.call_once(|| guest);
    load_tables();
    write(
        &guest,
        Register::SPURIOUS,
        SOFTWARE_ENABLE | u32::from(SPURIOUS_VECTOR),
    );
    write(&guest, Register::TIMER_DIVIDE, DIVIDE_BY_1);
    write(&guest, Register::LVT_TIMER, u32::from(TIMER_VECTOR));

    let exits = guest.all_exits();
    while TIMER.load(Ordering::Relaxed) < TIMERS {
        let before = TIMER.load(Ordering::Relaxed);
        write(&guest, Register::TIMER_INITIAL, SHOT);
        while TIMER.load(Ordering::Relaxed) == before {
            // SAFETY: the table handles every vector; STI's shadow reaches past HLT.
            unsafe { asm!("sti", "hlt", "cli") };
        }
    }
    let exits = guest.all_exits() - exits;
    let _ = writeln!(guest, "{TIMERS} timer interrupts, {exits} exits");

    hold_off(&mut guest);

    if guest.boot.apic == ApicAccess::X2apic {
        // SAFETY: an interrupt to this core; 0x4_0000 is the shorthand "self".
        unsafe {
            write_msr(Register::INTERRUPT_COMMAND.msr(), 0x4_0050);
            write_msr(Register::SELF_INTERRUPT.msr(), 0x51);
            asm!("sti", "nop", "nop", "cli");
        }
        let _ = writeln!(
            guest,
            "{} interrupts to itself, {} exits for the command register",
            OTHER.load(Ordering::Relaxed),
            guest.exits(ExitReason::InterruptCommand)
        );
    }
    let trips = (0..100).map(|_| {
        let start = timestamp();
        guest.call(Hypercall::Null as u64, 0, 0);
        timestamp() - start
    });
    let least = trips.min().unwrap_or(0);
    let _ = writeln!(guest, "smallest hypercall round trip: {least} ticks");
    let channel = CHANNEL_BASE.as_u64() as *mut u64;
    if guest.command_line == "writer" {
        guest.wait_until(200);
        // SAFETY: the channel's writer writes it.
        unsafe { channel.write_volatile(MESSAGE) };
        let [first, second] = [(); 2].map(|()| guest.call(Hypercall::Doorbell as u64, 0, 0) as i64);
        let _ = writeln!(
            guest,
            "doorbell rung: {first}, at once again: {second}, exits {} and {}",
            guest.exits(ExitReason::Doorbell),
            guest.exits(ExitReason::RefusedDoorbell)
        );
        halt_forever()
    }
    wait_for_doorbell(&guest);
    // SAFETY: the channel's reader reads it.
    let message = unsafe { channel.read_volatile() };
    let _ = writeln!(
        guest,
        "doorbells {}, message {message:#x}, rung back: {}",
        DOORBELL.load(Ordering::Relaxed),
        guest.call(Hypercall::Doorbell as u64, 0, 0) as i64
    );
    guest.shut_down(u64::from(message != MESSAGE))
}

/// Holds the timer's interrupt off by CR8 until long after it was due, and lets it come then.
fn hold_off(guest: &mut Guest) {
    let class = u64::from(HELD_VECTOR >> 4);
    let count = || HELD.load(Ordering::Relaxed);
    write(guest, Register::LVT_TIMER, u32::from(HELD_VECTOR));
    let exits = guest.all_exits();

    // SAFETY: CR8 holds interrupts off, and nothing else; the table handles every vector.
    unsafe { asm!("mov cr8, {}", "sti", in(reg) class) };
    write(guest, Register::TIMER_INITIAL, SHOT);
    let ticks = u64::from(SHOT) * guest.boot.tsc_hertz / guest.boot.apic_timer_hertz;
    let start = timestamp();
    while timestamp() - start < 4 * ticks {}
    let held = count();

    // SAFETY: as above. The priority of a class lets that of the next one through.
    unsafe { asm!("mov cr8, {}", "nop", "nop", "cli", in(reg) class - 1) };
    let exits = guest.all_exits() - exits;
    let _ = writeln!(
        guest,
        "by its task priority {held} interrupts, without it {}, {exits} exits",
        count()
    );

    // SAFETY: as above.
    unsafe { asm!("mov cr8, {}", in(reg) 0_u64) };
    write(guest, Register::LVT_TIMER, u32::from(TIMER_VECTOR));
}

fn wait_for_doorbell(guest: &Guest) {
    while DOORBELL.load(Ordering::Relaxed) == 0 {
        // A timer bounds the wait.
        write(guest, Register::TIMER_INITIAL, u32::MAX);
        // SAFETY: as above.
        unsafe { asm!("sti") };
        halt();
        // SAFETY: as above.
        unsafe { asm!("cli") };
    }
}

fn load_tables() {
    let task = TASK.call_once(|| {
        let mut task = TaskState::new();
        task.interrupt_stacks[0] = STACK.0.as_ptr_range().end as u64;
        task
    });
    let table = TABLE.call_once(|| {
        let mut table = InterruptTable::new();
        let stubs = &raw const guest_vectors as u64;
        for (vector, gate) in table.0.iter_mut().enumerate() {
            *gate = Gate::interrupt(stubs + vector as u64 * STUB_BYTES, 1, 0);
        }
        table
    });
    // SAFETY: statics, loaded once; the stubs are interrupt entries.
    unsafe {
        let mut segments = SEGMENTS.lock();
        segments.load(task);
        table.load();
    }
}
