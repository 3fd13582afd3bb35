//! A guest that times what has no program around it: hypercalls, page hashes, the
//! scheduler's decisions, trace records. Each is a console line
//! `measured NAME MINIMUM MEDIAN MAXIMUM COUNT`, in ticks of the timestamp counter, from
//! one reading of it to the next.
#![no_std]
#![no_main]

use core::arch::x86_64::__cpuid;
use core::hint::black_box;
use core::sync::atomic::AtomicU64;
use tern_abi::hypercall::Hypercall;
use tern_guests::Guest;
use tern_machine::bump::SealedBump;
use tern_machine::cpu::{halt_forever, read_msr};
use tern_recovery::{Commit, CommitStep, Hashing, PageMemory, Published, Rehash};
use tern_sched::{Scheduler, ServerParameters, Silent, SporadicServer, ThreadId};
use tern_trace::{Event, Mode, Ring};
use tern_units::{Duration, Instant, PAGE_SIZE, PageNumber};
use tern_vote::{Code, Key, LeafKind, Page, PageHasher, Set, Writer, sha256};

tern_guests::guest!();

use tern_guests::samples::{MOST, Samples, timestamp};

/// The lists of replenishments of all servers here.
#[global_allocator]
static HEAP: SealedBump<{ 64 << 10 }> = SealedBump::new();

/// The page attribute table.
const MSR_PAT: u32 = 0x277;
const KEY: Key = Key([1, 2, 3, 4]);

/// Times `operation` many times.
fn repeat<R>(guest: &mut Guest, name: &str, times: usize, mut operation: impl FnMut() -> R) {
    let mut samples = Samples::new();
    for _ in 0..times.min(MOST) {
        samples.time(&mut operation);
    }
    samples.say(guest, name);
}

/// Called by the entry code.
#[unsafe(no_mangle)]
extern "C" fn start(information: u64, _protocol: u64) -> ! {
    // SAFETY: the entry code hands over what PVH gave it.
    let Some(mut guest) = (unsafe { Guest::read(information) }) else {
        halt_forever()
    };
    let guest = &mut guest;
    let caller = *guest;
    repeat(guest, "nothing", MOST, || ());
    repeat(guest, "hypercall", MOST, || {
        caller.call(Hypercall::Null as u64, 0, 0)
    });
    repeat(guest, "exit-cpuid", MOST, || __cpuid(0));
    // SAFETY: reads a register that the hypervisor keeps for the guest.
    repeat(guest, "exit-read-msr", MOST, || unsafe {
        read_msr(MSR_PAT)
    });
    pages(guest);
    for (name, dirty) in [
        ("commit-0-dirty-pages", 0),
        ("commit-1-dirty-page", 1),
        ("commit-16-dirty-pages", 16),
        ("commit-64-dirty-pages", 64),
    ] {
        commits(guest, name, dirty);
    }
    traces(guest);
    replenishments(guest, "replenishment-1", 1);
    replenishments(guest, "replenishment-8", 8);
    replenishments(guest, "replenishment-32", 32);
    decisions(guest, "dispatch-8-servers", 8);
    decisions(guest, "dispatch-64-servers", 64);
    guest.shut_down(0)
}

fn pages(guest: &mut Guest) {
    static mut PAGES: [Page; 2] = [[0; PAGE_SIZE]; 2];
    // SAFETY: called once, on the one core.
    let [first, second] = unsafe { &mut *core::ptr::addr_of_mut!(PAGES) };
    first.fill(0x5a);
    let (fast, slow) = (LeafKind::ahash(&KEY), LeafKind::sha256(&KEY));
    // The first asks the processor what it can do, which is an exit.
    let _ = sha256(first);
    repeat(guest, "page-hash-ahash", 16, || fast.leaf(black_box(first)));
    repeat(guest, "page-hash-sha256", 16, || {
        slow.leaf(black_box(first))
    });
    repeat(guest, "page-confirm-sha256", 16, || {
        sha256(black_box(first))
    });
    repeat(guest, "page-copy", 16, || {
        second.copy_from_slice(black_box(&first[..]));
    });
}

/// Pages of the replica whose commits are timed.
const PAGES: usize = 64;

/// A replica's memory without page tables: the first pages are dirty.
struct Memory {
    page: Page,
    dirty: u32,
}

impl PageMemory for Memory {
    fn page(&self, _: PageNumber) -> &Page {
        &self.page
    }

    fn replace(&mut self, _: PageNumber, content: &Page) {
        self.page = *content;
    }

    fn take_dirty(&mut self, page: PageNumber) -> bool {
        page.0 < self.dirty
    }
}

/// The commit of a job that wrote `dirty` pages of 64, without scrubbing, by the fast hash.
fn commits(guest: &mut Guest, name: &str, dirty: u32) {
    const WORDS: usize = 1 << 15;
    static CHANNEL: [AtomicU64; WORDS] = [const { AtomicU64::new(0) }; WORDS];
    let own = Writer::new(&CHANNEL);
    let set = Set {
        number: 0,
        replicas: 3,
        key: KEY,
        code: Code::Arithmetic,
    };
    let hashing = Hashing {
        set,
        hasher: LeafKind::ahash(&KEY),
    };
    let mut table = Published::new(&hashing, [0; PAGES]);
    let mut memory = Memory {
        page: [0x5a; PAGE_SIZE],
        dirty,
    };
    let mut all = Rehash::default();
    while all.step(&hashing, &mut memory, &mut table, own).is_some() {}
    let mut commit = Commit::default();
    repeat(guest, name, 16, || {
        commit.begin(0);
        while commit.step(&hashing, &mut memory, &mut table, own) != CommitStep::Done {}
    });
}

fn traces(guest: &mut Guest) {
    const WORDS: usize = 4096;
    static RING: [AtomicU64; WORDS] = [const { AtomicU64::new(0) }; WORDS];
    let Ok(mut ring) = Ring::format(&RING, Mode::Stream) else {
        return;
    };
    repeat(guest, "trace-record", MOST, || {
        ring.push_event(
            timestamp(),
            Event::Release {
                thread: black_box(3),
                job: black_box(7),
            },
        );
    });
    repeat(guest, "trace-record-wide", MOST, || {
        ring.push_event(
            timestamp(),
            Event::ReplenishPosted {
                server: black_box(3),
                amount: Duration::from_nanos(black_box(1000)),
                at: Instant::from_nanos(black_box(5000)),
            },
        );
    });
}

/// Charging a server whose list is full: of 1, 8 or 32 chunks.
fn replenishments(guest: &mut Guest, name: &str, room: u32) {
    const PERIOD: u64 = 1_000_000;
    let parameters = ServerParameters::sporadic(
        Duration::from_nanos(PERIOD / 2),
        Duration::from_nanos(PERIOD),
        0,
    );
    let Ok(mut server) = SporadicServer::new(parameters.with_room(room), Instant::EPOCH) else {
        return;
    };
    let mut now = 0;
    let mut samples = Samples::new();
    for round in 0..MOST as u64 {
        // Short runs far apart: each leaves a chunk of its own.
        now += PERIOD / 64;
        let used = Duration::from_nanos(1000 + round);
        samples.time(|| {
            server.unblock(Instant::from_nanos(black_box(now)));
            server.charge(black_box(used), |posted| _ = black_box(posted));
        });
    }
    samples.say(guest, name);
}

/// One server releases its thread over and over among others that wait.
fn decisions(guest: &mut Guest, name: &str, servers: u32) {
    static mut SCHEDULER: Scheduler<64, 128> = Scheduler::new();
    const PERIOD: u64 = 1_000_000;
    // SAFETY: called one time after another, on the one core.
    let scheduler = unsafe { &mut *core::ptr::addr_of_mut!(SCHEDULER) };
    *scheduler = Scheduler::new();
    for number in 0..servers {
        let period = Duration::from_nanos(PERIOD * u64::from(number + 1));
        let budget = Duration::from_nanos(PERIOD / 128);
        let parameters = ServerParameters::sporadic(budget, period, number);
        let added = scheduler.add_server(parameters);
        let Ok(thread) = added.and_then(|server| scheduler.add_thread(server)) else {
            return;
        };
        let first = Instant::from_nanos(PERIOD * u64::from(number + 1));
        scheduler.sleep_until(thread, first, &mut Silent);
    }
    let mut samples = Samples::new();
    let mut now = 0;
    while samples.count() < MOST {
        let released = Instant::from_nanos(now);
        let decision = samples.time(|| scheduler.dispatch(released, &mut Silent));
        now += 2_000;
        if let Some(thread) = decision.thread {
            let period = PERIOD * (thread.index() as u64 + 1);
            let next = (now / period + 1) * period;
            scheduler.sleep_until(
                ThreadId::new(thread.index() as u16),
                Instant::from_nanos(next),
                &mut Silent,
            );
            scheduler.dispatch(Instant::from_nanos(now), &mut Silent);
        }
        now = now.max(decision.timer.as_nanos().min(now + PERIOD));
    }
    samples.say(guest, name);
}
