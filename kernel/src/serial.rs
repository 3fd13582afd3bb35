//! The driver of a serial port: a thread of its own between bounded queues and the port,
//! woken by the port's interrupt and by who sends.
//!
//! Where a plant simulates what is at the other end, a pair of channels is in the place of
//! the port. Nothing interrupts there: who wants received bytes looks for them.
//!
//! Its server should be an I/O server. A thread that sends is its requester until the
//! queue is empty, that is, all bytes are with the port: so long the server has at least
//! that thread's priority.
use crate::byte_queue::ByteQueue;
use crate::line::{End, Line};
use crate::masked::{BootOnce, Masked};
use crate::thread::{self, ThreadNumber};
use crate::uart::{TRANSMIT_FIFO, Uart};
use crate::{say, trace};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use tern_config::Device;
use tern_config::layout::MAX_THREADS;
use tern_trace::Event;

/// Bytes that each queue holds.
pub const QUEUE_BYTES: usize = 2048;

/// Bytes moved before other threads of the driver's server get a turn at the queues.
const BURST: usize = 64;

#[derive(Debug)]
struct Queues {
    received: ByteQueue<QUEUE_BYTES>,
    to_send: ByteQueue<QUEUE_BYTES>,
    /// Threads that have sent and are not served yet, a bit each.
    requesters: u128,
}

const _: () = assert!(MAX_THREADS <= u128::BITS as usize);

/// A serial port of this sandbox.
#[derive(Debug)]
pub struct SerialPort {
    device: u32,
    wire: Wire,
    driver: ThreadNumber,
    queues: Masked<Queues>,
    overrun: AtomicBool,
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
            queues: Masked::new(Queues {
                received: ByteQueue::new(),
                to_send: ByteQueue::new(),
                requesters: 0,
            }),
            overrun: AtomicBool::new(false),
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

/// The interrupt of line `line` has arrived: wakes the driver, and nothing else.
pub fn interrupted(line: u8) {
    let interrupts = |port: &&SerialPort| matches!(port.wire, Wire::Port(_, own) if own == line);
    if let Some(port) = PORTS
        .try_get()
        .and_then(|ports| ports.iter().find(interrupts))
    {
        thread::wake(port.driver);
    }
}

impl SerialPort {
    /// Hands bytes to the driver to be sent, and wakes it. Returns how many were taken:
    /// fewer than given if the queue is full.
    pub fn send(&self, bytes: &[u8]) -> usize {
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
        taken
    }

    /// Takes received bytes into `buffer`; returns how many there were.
    pub fn receive(&self, buffer: &mut [u8]) -> usize {
        let next = || match &self.wire {
            Wire::Port(..) => self.queues.with(|queues| queues.received.pop()),
            Wire::Line(line) => line.receive(),
        };
        let bytes = core::iter::from_fn(next);
        let places = buffer.iter_mut().zip(bytes);
        places.map(|(place, byte)| *place = byte).count()
    }

    /// The driver's thread: each wake is one of its jobs.
    pub fn drive(&self) -> ! {
        if let Wire::Port(uart, _) = &self.wire {
            uart.start();
        }
        let thread = thread::current().0;
        let mut job: u32 = 0;
        loop {
            trace::record(Event::Release { thread, job });
            match &self.wire {
                Wire::Port(uart, _) => self.serve(uart),
                Wire::Line(line) => self.serve_line(line),
            }
            trace::record(Event::Complete { thread, job });
            // A port's bytes are four thousand million within days.
            job = job.wrapping_add(1);
            thread::wait();
        }
    }

    /// Moves bytes until the port has nothing more to say.
    fn serve(&self, uart: &Uart) {
        loop {
            self.receive_pending(uart);
            let rest = self.send_pending(uart);
            self.requesters_served();
            if uart.listen(rest) {
                return;
            }
        }
    }

    /// Moves all that is to be sent: a line always has room.
    fn serve_line(&self, line: &Line) {
        while let Some(byte) = self.queues.with(|queues| queues.to_send.pop()) {
            line.send(byte);
        }
        self.requesters_served();
    }

    fn receive_pending(&self, uart: &Uart) {
        for _ in 0..BURST {
            let Some(byte) = uart.receive() else {
                return;
            };
            if !self.queues.with(|queues| queues.received.push(byte)) {
                self.lose();
            }
        }
    }

    /// A byte found the queue full. Said once: its frame is lost, the next one is as good.
    #[cold]
    fn lose(&self) {
        if !self.overrun.swap(true, Ordering::Relaxed) {
            say!(
                "the receive queue of device {} is full: bytes are lost",
                self.device
            );
        }
    }

    /// Whether bytes are left that the transmitter has no room for.
    fn send_pending(&self, uart: &Uart) -> bool {
        for _ in 0..BURST {
            if !uart.transmitter_is_empty() {
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
