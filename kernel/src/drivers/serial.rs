//! The driver of a serial port: a thread of its own between bounded queues and the port,
//! woken by the port's interrupt and by who sends.
//!
//! Whatever is on the wire, it costs others little: a port that has interrupted is mute until
//! the driver's job for that is done, jobs begin at least the thread's period apart, each takes
//! a bounded number of bytes, and only whole frames reach who receives. What is no frame is
//! counted, in one record a job.
//!
//! A port that sandboxes share interrupts none of them: while this one has it, which its voter says,
//! the driver looks at it once a period. It sets the port up anew each time it is given it, as
//! nobody knows how the last one left it; and it notices by itself that it has it no more.
//!
//! Where a plant simulates what is at the other end, a pair of channels is in the place of
//! the port. Nothing interrupts there: who wants received bytes looks for them.
//!
//! Its server should be an I/O server. A thread that sends is its requester until the
//! queue is empty, that is, all bytes are with the port: so long the server has at least
//! that thread's priority.
use super::byte_line::{End, Line};
use super::byte_queue::ByteQueue;
use super::uart::{TRANSMIT_FIFO, Uart};
use crate::image::description;
use crate::sync::boot_cell::BootOnce;
use crate::sync::interrupt_cell::InterruptCell;
use crate::thread::{self, ThreadNumber};
use crate::{clock, say, trace};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use tern_config::Device;
use tern_config::heap::DEVICE_BYTES;
use tern_config::layout::MAX_THREADS;
use tern_plant::frames::{Decoder, Frame};
use tern_trace::{Event, LineErrors};
use tern_units::Duration;

/// Bytes to be sent that are kept.
const QUEUE_BYTES: usize = 2048;
/// Frames that are kept until somebody takes them; of more, the newest.
const QUEUE_FRAMES: usize = 8;
/// Bytes of a line from a plant that are looked at for a frame at a time.
const LINE_BYTES: usize = 256;
/// Bytes that a job of the driver takes at most in each direction.
const JOB_BYTES: usize = 64;

#[derive(Debug)]
struct Queues {
    received: [Option<Frame>; QUEUE_FRAMES],
    /// Frames received so far, and taken or overtaken so far.
    counts: (usize, usize),
    to_send: ByteQueue<QUEUE_BYTES>,
    /// Threads that have sent and are not served yet, a bit each.
    requesters: u128,
}

// And the list of drivers, which grows by doubling.
const _: () = assert!(
    size_of::<SerialPort>() + 4 * size_of::<(u32, &Device, ThreadNumber)>()
        <= DEVICE_BYTES as usize
);

impl Queues {
    /// Keeps a frame, in place of the oldest where there is no room.
    fn push(&mut self, frame: Frame) {
        let (received, taken) = &mut self.counts;
        self.received[*received % QUEUE_FRAMES] = Some(frame);
        *received += 1;
        *taken = (*taken).max(received.saturating_sub(QUEUE_FRAMES));
    }

    /// Takes the oldest frame.
    fn pop(&mut self) -> Option<Frame> {
        let (received, taken) = &mut self.counts;
        if taken == received {
            return None;
        }
        *taken += 1;
        self.received[(*taken - 1) % QUEUE_FRAMES].take()
    }
}

/// No device answers: what was to be sent goes nowhere, and nothing will be received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoDevice;

const _: () = assert!(MAX_THREADS <= u128::BITS as usize);

/// A serial port of this sandbox.
#[derive(Debug)]
pub struct SerialPort {
    device: u32,
    wire: Wire,
    driver: ThreadNumber,
    queues: InterruptCell<Queues>,
    /// Whether the driver found that nothing answers, and has stopped.
    absent: AtomicBool,
    /// Whose turn it is to have the port, if others share it.
    turn: Option<InterruptCell<Turn>>,
}

/// Whether this sandbox has a port that it shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Another has it.
    Others,
    /// It has been given to this sandbox, and is to be set up.
    Begins,
    /// This sandbox has it.
    Own,
}

/// What the bytes go through.
#[derive(Debug)]
enum Wire {
    /// A port, and its interrupt line.
    Port(Uart, u8),
    /// A line to a plant in another sandbox.
    Line(Line),
}

static PORTS: BootOnce<Vec<SerialPort>> = BootOnce::new();

/// Makes the ports of the sandbox's driver threads: index of the device, the device,
/// and the thread.
///
/// # Safety
/// Only during boot, once, with interrupts off.
///
/// # Panics
/// If this sandbox does not see a device's channels: the message says so.
pub unsafe fn initialize(drivers: &[(u32, &Device, ThreadNumber)]) {
    let ports = drivers
        .iter()
        .map(|&(device, description, driver)| SerialPort {
            device,
            wire: wire(description),
            driver,
            queues: InterruptCell::new(Queues {
                received: [None; QUEUE_FRAMES],
                counts: (0, 0),
                to_send: ByteQueue::new(),
                requesters: 0,
            }),
            absent: AtomicBool::new(false),
            turn: description
                .is_shared()
                .then(|| InterruptCell::new(Turn::Others)),
        })
        .collect();
    // SAFETY: the caller vouches that this is boot.
    unsafe { PORTS.set(ports) };
}

fn wire(device: &Device) -> Wire {
    let Some(channels) = device.channels else {
        return Wire::Port(Uart::new(device.port), device.interrupt);
    };
    match Line::new(channels, End::Driver) {
        Some(line) => Wire::Line(line),
        None => panic!(
            "the driver of device \"{}\" cannot see its channels",
            device.name
        ),
    }
}

/// The port of device `device`, if a driver thread of this sandbox serves it.
#[must_use]
pub fn serial_port(device: u32) -> Option<&'static SerialPort> {
    PORTS.get().iter().find(|port| port.device == device)
}

/// The interrupt of line `line` has arrived: keeps the port from the next one until its driver
/// has done a job, and wakes the driver.
pub fn interrupted(line: u8) {
    let Some(ports) = PORTS.try_get() else { return };
    for port in ports {
        match &port.wire {
            Wire::Port(uart, own) if *own == line => {
                uart.mute();
                thread::wake(port.driver);
            }
            Wire::Port(..) | Wire::Line(_) => {}
        }
    }
}

impl SerialPort {
    /// Hands bytes to the driver to be sent, and wakes it. Returns how many were taken:
    /// fewer than given if the queue is full.
    ///
    /// # Errors
    /// If there is no device.
    pub fn send(&self, bytes: &[u8]) -> Result<usize, NoDevice> {
        if self.absent.load(Ordering::Relaxed) {
            return Err(NoDevice);
        }
        let requester = 1 << thread::current().0;
        let mut taken = 0;
        // Piece by piece: nothing else runs while the queues are borrowed. The driver may
        // have served all that came before.
        for piece in bytes.chunks(TRANSMIT_FIFO) {
            thread::request(self.driver);
            let count = self.queues.with(|queues| {
                queues.requesters |= requester;
                piece
                    .iter()
                    .take_while(|byte| queues.to_send.push(**byte))
                    .count()
            });
            taken += count;
            if count < piece.len() {
                break;
            }
        }
        thread::wake(self.driver);
        thread::preempt();
        Ok(taken)
    }

    /// This sandbox has been given the port that it shares, or still has it.
    pub fn take(&self) {
        let Some(turn) = &self.turn else { return };
        let begins = turn.with(|turn| {
            let begins = *turn == Turn::Others;
            if begins {
                *turn = Turn::Begins;
            }
            begins
        });
        if begins {
            // What is left of an earlier turn is nobody's any more.
            self.queues.with(|queues| while queues.pop().is_some() {});
            thread::wake(self.driver);
        }
    }

    /// Takes the next frame that has come. Those of a line from a plant are put together by
    /// `decoder`, those of a port by its driver.
    pub fn receive(&self, decoder: &mut Decoder) -> Option<Frame> {
        match &self.wire {
            Wire::Port(..) => self.queues.with(Queues::pop),
            Wire::Line(line) => {
                let bytes = core::iter::from_fn(|| line.receive()).take(LINE_BYTES);
                bytes.filter_map(|byte| decoder.push(byte)).next()
            }
        }
    }

    /// The driver's thread: each wake is one of its jobs, and they begin at least `period`
    /// apart.
    pub fn drive(&self, period: Duration) -> ! {
        let mut decoder = Decoder::new();
        if let (Wire::Port(uart, _), None) = (&self.wire, &self.turn) {
            uart.start();
            self.expect_answer(uart);
        }
        let thread = thread::current().0;
        let mut job: u32 = 0;
        loop {
            let begin = clock::now();
            trace::record(Event::Release { thread, job });
            match &self.wire {
                Wire::Port(uart, _) => match &self.turn {
                    None => self.serve(uart, &mut decoder),
                    Some(turn) => self.serve_in_turn(turn, uart, &mut decoder),
                },
                Wire::Line(line) => self.serve_line(line),
            }
            trace::record(Event::Complete { thread, job });
            // A port's jobs are four thousand million within weeks.
            job = job.wrapping_add(1);
            thread::wait_until_after(begin.saturating_add(period));
        }
    }

    /// Moves bytes, at most so many that a job stays short: the rest is for the next one.
    fn serve(&self, uart: &Uart, decoder: &mut Decoder) {
        uart.mute();
        self.receive_pending(uart, decoder);
        let rest = self.send_pending(uart);
        self.requesters_served();
        uart.listen(rest);
        // What came before the port could interrupt may have raised no edge, or one that is
        // on its way: it is looked for in the next job, and does not interrupt for it.
        let status = uart.status();
        if status.has_received() || rest && status.transmitter_is_empty() {
            uart.mute();
            thread::wake(self.driver);
        }
    }

    /// Does the same at a port that others share, and looks again in a period, as long as this
    /// sandbox has it.
    fn serve_in_turn(&self, turn: &InterruptCell<Turn>, uart: &Uart, decoder: &mut Decoder) {
        match turn.with(|turn| *turn) {
            Turn::Others => return self.drop_unsent(),
            Turn::Begins => {
                uart.start();
                *decoder = Decoder::new();
                turn.with(|turn| *turn = Turn::Own);
            }
            Turn::Own => {}
        }
        if uart.status().may_be_nothing() && !uart.answers() {
            turn.with(|turn| *turn = Turn::Others);
            return self.drop_unsent();
        }
        self.receive_pending(uart, decoder);
        self.send_pending(uart);
        self.requesters_served();
        thread::wake(self.driver);
    }

    /// Takes received bytes, and records what is wrong with them.
    fn receive_pending(&self, uart: &Uart, decoder: &mut Decoder) {
        let before = decoder.garbage();
        let mut errors = LineErrors::default();
        for _ in 0..JOB_BYTES {
            let status = uart.status();
            if status.may_be_nothing() {
                if self.turn.is_some() {
                    // The next job will find out whose it is.
                    break;
                }
                self.expect_answer(uart);
            }
            status.count(&mut errors);
            if !status.has_received() {
                break;
            }
            if let Some(frame) = decoder.push(uart.receive()) {
                self.queues.with(|queues| queues.push(frame));
            }
        }

        let bytes = decoder.garbage() - before;
        if bytes > 0 || errors != LineErrors::default() {
            trace::record(Event::Noise {
                device: self.device as u16,
                bytes: bytes as u32,
                errors,
            });
        }
    }

    /// Stops the driver, which calls this, if nothing answers at the port.
    fn expect_answer(&self, uart: &Uart) {
        if !uart.answers() {
            self.give_up(uart);
        }
    }

    /// Says that there is no device, lets go of who has sent, and ends the driver's thread.
    #[cold]
    fn give_up(&self, uart: &Uart) -> ! {
        uart.mute();
        self.absent.store(true, Ordering::Relaxed);
        trace::record(Event::NoDevice {
            device: self.device as u16,
        });
        let name = &description::system().devices[self.device as usize].name;
        say!(
            "nothing answers at port {:#x}: the driver of device \"{name}\" stops",
            uart.first_port()
        );
        self.drop_unsent();
        thread::stop()
    }

    /// Lets go of what cannot be sent, and of who has sent it.
    fn drop_unsent(&self) {
        while self.queues.with(|queues| queues.to_send.pop()).is_some() {}
        self.requesters_served();
    }

    /// Moves all that is to be sent: a line always has room.
    fn serve_line(&self, line: &Line) {
        while let Some(byte) = self.queues.with(|queues| queues.to_send.pop()) {
            line.send(byte);
        }
        self.requesters_served();
    }

    /// Hands bytes to the transmitter. Whether some are left.
    fn send_pending(&self, uart: &Uart) -> bool {
        for _ in 0..JOB_BYTES / TRANSMIT_FIFO {
            if !uart.status().transmitter_is_empty() {
                break;
            }
            for _ in 0..TRANSMIT_FIFO {
                match self.queues.with(|queues| queues.to_send.pop()) {
                    Some(byte) => uart.send(byte),
                    None => return false,
                }
            }
        }
        self.queues.with(|queues| !queues.to_send.is_empty())
    }

    /// Tells whom the driver has served, if all is sent, and lets what is then of higher
    /// priority go first.
    fn requesters_served(&self) {
        let mut served = self.queues.with(|queues| match queues.to_send.is_empty() {
            true => core::mem::take(&mut queues.requesters),
            false => 0,
        });
        if served == 0 {
            return;
        }
        while served != 0 {
            thread::served(ThreadNumber(served.trailing_zeros() as u16));
            served &= served - 1;
        }
        thread::preempt();
    }
}
