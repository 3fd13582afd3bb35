//! The console. Once guests run each sandbox has a ring of lines, and nobody waits for the serial
//! line: whoever prints, or asks for it, moves on as many bytes as the line takes at once, whoever
//! they are of. Before, and where nothing else is left to do, lines go to the line itself.
//!
//! The sandboxes' turns are lines, one each in their order. As every core moves on everybody's, a
//! sandbox that has stopped keeps nobody waiting, nor does one that prints more often than others.
mod ring;

use crate::ending;
use arrayvec::ArrayVec;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicUsize, Ordering};
use ring::Ring;
use spin::Once;
use tern_config::limits::MAX_SANDBOXES;
use tern_machine::console::Console;

/// Bytes of text of a sandbox that wait for the line at most: 1.4 s of it at 115,200 baud.
const RING_BYTES: usize = 16 << 10;

static RINGS: [Ring<RING_BYTES>; MAX_SANDBOXES] = [const { Ring::new() }; MAX_SANDBOXES];
static NAMES: [Once<&str>; MAX_SANDBOXES] = [const { Once::new() }; MAX_SANDBOXES];
/// Rings that sandboxes have: the first ones.
static OPEN: AtomicUsize = AtomicUsize::new(0);
/// The ring that the line's next byte comes from, if it has one. Whoever has the console changes it.
static TURN: AtomicUsize = AtomicUsize::new(0);

/// Who has the console: the number of a sandbox, for its core, or one of these.
static HOLDER: AtomicUsize = AtomicUsize::new(NOBODY);
const NOBODY: usize = usize::MAX;
/// A core that boots, or ends the run.
const HYPERVISOR: usize = usize::MAX - 1;

/// Attempts to get the console before a line is written without it: a core that died
/// with it must not silence the others.
const MAX_ATTEMPTS: u32 = 50_000_000;
/// Looks at a line that takes nothing, before what is left in the rings stays there.
const MAX_LOOKS: u32 = 5_000_000;

/// Prints one line of the hypervisor's, `tern: …`, and waits for it: while the machine boots, and
/// when it cannot.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => {
        $crate::console::print_line(format_args!("tern: {}\n", format_args!($($text)*)))
    };
}

/// Prints `line` whole, without another core's output in between.
pub fn print_line(line: fmt::Arguments<'_>) {
    let has_console = take_patiently();
    if !has_console && ending::is_ending() {
        ending::rest(); // the last line is being printed, or has been
    }
    // The console's writes do not fail.
    let _ = Console.write_fmt(line);
    if has_console {
        release();
    }
}

/// Takes the console from all other cores for good, prints what is left in the rings once
/// `silence` has stopped the others, and returns it: what the caller writes is the last.
#[must_use]
pub fn keep(silence: impl FnOnce()) -> Console {
    let _ = take_patiently();
    silence();

    flush(drain_held, || {
        (0..open()).all(|index| RINGS[index].left() == 0)
    });
    for (ring, name) in RINGS.iter().zip(&NAMES).take(open()) {
        let (lost, name) = (ring.take_dropped(), name.get().unwrap_or(&"?"));
        if lost > 0 {
            // The console's writes do not fail.
            let _ = writeln!(Console, "[{name}] {}", Loss(lost));
        }
    }
    Console
}

fn open() -> usize {
    OPEN.load(Ordering::Acquire).min(MAX_SANDBOXES)
}

fn take(holder: usize) -> bool {
    let taken = HOLDER.compare_exchange(NOBODY, holder, Ordering::Acquire, Ordering::Relaxed);
    taken.is_ok()
}

fn take_patiently() -> bool {
    (0..MAX_ATTEMPTS).any(|_| {
        core::hint::spin_loop();
        take(HYPERVISOR)
    })
}

fn release() {
    HOLDER.store(NOBODY, Ordering::Release);
}

/// Gives the line what it takes at once, if it takes any; returns whether it did. Only for who has
/// the console.
fn drain_held() -> bool {
    let mut waiting = Waiting {
        turn: TURN.load(Ordering::Relaxed),
        open: open(),
    };
    let moved = Console.offer(&mut waiting);
    TURN.store(waiting.turn, Ordering::Relaxed);
    moved
}

/// The bytes that wait for the line: of the line that has begun, and then of the next ring's with
/// one.
struct Waiting {
    turn: usize,
    open: usize,
}

impl Waiting {
    fn pass_turn(&mut self) {
        let next = self.turn + 1;
        self.turn = if next < self.open { next } else { 0 };
    }
}

impl Iterator for Waiting {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        for _ in 0..self.open {
            let byte = RINGS[self.turn].take();
            if byte.is_none_or(|byte| byte == b'\n') {
                self.pass_turn();
            }
            if byte.is_some() {
                return byte;
            }
        }
        None
    }
}

/// Calls `drain` until `is_done`, or until the line has taken nothing for long.
fn flush(drain: impl Fn() -> bool, is_done: impl Fn() -> bool) {
    let mut looks = 0;
    while looks < MAX_LOOKS && !is_done() {
        looks = if drain() { 0 } else { looks + 1 };
        core::hint::spin_loop();
    }
}

/// What a sandbox is told of bytes that it lost.
struct Loss(u64);

impl fmt::Display for Loss {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} bytes dropped", self.0)
    }
}

/// The console as one sandbox has it.
#[derive(Clone, Copy, Debug)]
pub struct SandboxConsole {
    index: usize,
    name: &'static str,
    ring: &'static Ring<RING_BYTES>,
}

impl SandboxConsole {
    /// Opens the console of the sandbox `name`, the one with this number. At boot, once for each.
    #[must_use]
    pub fn open(index: usize, name: &'static str) -> Self {
        NAMES[index].call_once(|| name);
        OPEN.fetch_max(index + 1, Ordering::AcqRel);
        Self {
            index,
            name,
            ring: &RINGS[index],
        }
    }

    /// Moves on what the line takes at once, if the console is free; never waits. Returns whether
    /// it moved anything.
    pub fn drain(&self) -> bool {
        if !take(self.index) {
            return false;
        }
        let moved = drain_held();
        release();
        moved
    }

    /// Returns how many bytes of the sandbox's wait for the line.
    #[must_use]
    pub fn left(&self) -> usize {
        self.ring.left()
    }

    /// Prints what waits, on a core that has nothing else to do.
    pub fn flush(&self) {
        flush(|| self.drain(), || self.left() == 0);
    }

    /// The same with what the others wait for.
    pub fn flush_all(&self) {
        let is_done = || (0..open()).all(|index| RINGS[index].left() == 0);
        flush(|| self.drain(), is_done);
    }

    /// Gives the console back that this core had when it failed.
    pub fn recover(&self) {
        let _ = HOLDER.compare_exchange(self.index, NOBODY, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// Says a line of the hypervisor's on the sandbox's core, `tern: …`.
    pub fn say(&self, line: fmt::Arguments<'_>) {
        let mut buffer = LineBuffer::of_hypervisor(*self);
        // Its writes do not fail.
        let _ = buffer.write_fmt(line);
        buffer.finish();
    }

    /// Puts a line into the ring, after what there is to tell of a loss.
    fn put(&self, prefix: &[&str; 3], text: &[u8]) {
        if self.ring.takes_lines() {
            self.tell_loss();
        }
        let [begin, name, end] = prefix.map(str::as_bytes);
        self.ring
            .write([begin, name, end, text, b"\r\n"].into_iter());
    }

    fn tell_loss(&self) {
        let lost = self.ring.take_dropped();
        if lost > 0 {
            let mut buffer = LineBuffer::new(*self);
            // Its writes do not fail.
            let _ = write!(buffer, "{}", Loss(lost));
            buffer.finish();
        }
    }
}

/// The line that a sandbox is writing: it goes into the ring when complete.
#[derive(Clone, Debug)]
pub struct LineBuffer {
    console: SandboxConsole,
    prefix: [&'static str; 3],
    line: ArrayVec<u8, 256>,
}

impl LineBuffer {
    /// An empty line of the sandbox's.
    #[must_use]
    pub fn new(console: SandboxConsole) -> Self {
        Self {
            console,
            prefix: ["[", console.name, "] "],
            line: ArrayVec::new(),
        }
    }

    /// An empty line of the hypervisor's on the sandbox's core.
    fn of_hypervisor(console: SandboxConsole) -> Self {
        Self {
            prefix: ["tern", ": ", ""],
            ..Self::new(console)
        }
    }

    /// Adds `bytes`; each line that they complete goes into the ring, and a line that is too
    /// long in pieces. What is not printable ASCII becomes a question mark.
    pub fn write(&mut self, bytes: &[u8]) {
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            match line.split_last() {
                Some((b'\n', text)) => {
                    self.add(text);
                    self.end_line();
                }
                _ => self.add(line),
            }
        }
    }

    /// Adds text that is part of one line.
    fn add(&mut self, mut text: &[u8]) {
        while !text.is_empty() {
            if self.line.is_full() {
                self.end_line();
            }
            let (piece, rest) = text.split_at(text.len().min(self.line.remaining_capacity()));
            // It has just been cut to fit.
            let _ = self.line.try_extend_from_slice(piece);
            text = rest;
        }
    }

    /// Ends the line here.
    fn end_line(&mut self) {
        for byte in &mut self.line {
            let is_printable = *byte == b'\t' || (b' '..=b'~').contains(byte);
            *byte = if is_printable { *byte } else { b'?' };
        }
        self.console.put(&self.prefix, &self.line);
        self.line.clear();
    }

    /// Ends an unfinished line, if there is one.
    pub fn finish(&mut self) {
        if !self.line.is_empty() {
            self.end_line();
        }
    }
}

impl Write for LineBuffer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write(text.as_bytes());
        Ok(())
    }
}
