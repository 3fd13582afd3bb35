//! The driver of a 16550 serial port: a thread of its own, woken by the port's
//! interrupt, between two bounded queues.
//!
//! Its server should be an I/O server. A thread that sends is its requester until the
//! queue is empty, that is, all bytes are with the port: so long the server has at least
//! that thread's priority.
//!
//! Source: National Semiconductor PC16550D data sheet, §8.
use crate::byte_queue::ByteQueue;
use crate::masked::{BootOnce, Masked};
use crate::thread::{self, ThreadNumber};
use crate::{say, trace};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use tern_config::Device;
use tern_machine::port;
use tern_trace::Event;

/// Bytes that each queue holds.
pub const QUEUE_BYTES: usize = 2048;

/// Registers, as offsets from the first port.
const DATA: u16 = 0;
const INTERRUPT_ENABLE: u16 = 1;
const FIFO_CONTROL: u16 = 2;
const INTERRUPT_IDENTIFICATION: u16 = 2;
const LINE_CONTROL: u16 = 3;
const MODEM_CONTROL: u16 = 4;
const LINE_STATUS: u16 = 5;

const ENABLE_RECEIVED: u8 = 1 << 0;
const ENABLE_TRANSMITTER_EMPTY: u8 = 1 << 1;
const NO_INTERRUPT_PENDING: u8 = 1 << 0;
const STATUS_RECEIVED: u8 = 1 << 0;
const STATUS_TRANSMITTER_EMPTY: u8 = 1 << 5;
/// Bytes that the transmitter's FIFO takes once it is empty.
const TRANSMIT_FIFO: usize = 16;
/// Bytes moved before other threads of the driver's server get a turn at the queues.
const BURST: usize = 64;

#[derive(Debug)]
struct Queues {
    received: ByteQueue<QUEUE_BYTES>,
    to_send: ByteQueue<QUEUE_BYTES>,
    /// Threads that have sent and are not served yet, a bit each.
    requesters: u128,
}

const _: () = assert!(thread::MAX_THREADS <= u128::BITS as usize);

/// A serial port of this sandbox.
#[derive(Debug)]
pub struct SerialPort {
    device: u32,
    first_port: u16,
    interrupt: u8,
    driver: ThreadNumber,
    queues: Masked<Queues>,
    overrun: AtomicBool,
}

static PORTS: BootOnce<Vec<SerialPort>> = BootOnce::new();

/// Makes the ports of the sandbox's driver threads: index of the device, the device,
/// and the thread.
///
/// # Safety
/// Only during boot, once, with interrupts off.
pub unsafe fn initialize(drivers: &[(u32, &Device, ThreadNumber)]) {
    let ports = drivers
        .iter()
        .map(|&(device, description, driver)| SerialPort {
            device,
            first_port: description.port,
            interrupt: description.interrupt,
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

/// The port of device `device`, if a driver thread of this sandbox serves it.
#[must_use]
pub fn serial_port(device: u32) -> Option<&'static SerialPort> {
    PORTS.get().iter().find(|port| port.device == device)
}

/// The interrupt of line `line` has arrived: wakes the driver, and nothing else.
pub fn interrupted(line: u8) {
    if let Some(port) = PORTS
        .try_get()
        .and_then(|ports| ports.iter().find(|it| it.interrupt == line))
    {
        thread::wake(port.driver);
    }
}

impl SerialPort {
    /// Hands bytes to the driver to be sent, and wakes it. Returns how many were taken:
    /// fewer than given if the queue is full.
    pub fn send(&self, bytes: &[u8]) -> usize {
        let requester = 1 << thread::current().0;
        thread::request(self.driver);
        let taken = self.queues.with(|queues| {
            queues.requesters |= requester;
            bytes
                .iter()
                .take_while(|byte| queues.to_send.push(**byte))
                .count()
        });
        thread::wake(self.driver);
        thread::preempt();
        taken
    }

    /// Takes received bytes into `buffer`; returns how many there were.
    pub fn receive(&self, buffer: &mut [u8]) -> usize {
        self.queues.with(|queues| {
            let mut count = 0;
            for place in buffer {
                match queues.received.pop() {
                    Some(byte) => *place = byte,
                    None => break,
                }
                count += 1;
            }
            count
        })
    }

    /// The driver's thread: each wake is one of its jobs.
    pub fn drive(&self) -> ! {
        // 8N1, FIFOs on and cleared with a trigger level of 1 byte, interrupt output
        // on (OUT2), data terminal ready, request to send.
        for (register, value) in [
            (INTERRUPT_ENABLE, 0),
            (LINE_CONTROL, 0x80),
            (DATA, 1),
            (INTERRUPT_ENABLE, 0),
            (LINE_CONTROL, 0x03),
            (FIFO_CONTROL, 0x07),
            (MODEM_CONTROL, 0x0b),
        ] {
            self.write(register, value);
        }
        let thread = thread::current().0;
        for job in 0.. {
            if job > 0 {
                thread::wait();
            }
            trace::record(Event::Release { thread, job });
            self.serve();
            trace::record(Event::Complete { thread, job });
        }
        thread::stop()
    }

    /// Moves bytes until the port has nothing more to say. The line is edge-triggered:
    /// only once no cause is pending does the next one interrupt.
    fn serve(&self) {
        loop {
            self.receive_pending();
            let rest = self.send_pending();
            self.requesters_served();
            let transmit = if rest { ENABLE_TRANSMITTER_EMPTY } else { 0 };
            self.write(INTERRUPT_ENABLE, ENABLE_RECEIVED | transmit);
            let quiet = self.read(INTERRUPT_IDENTIFICATION) & NO_INTERRUPT_PENDING != 0;
            if quiet && self.read(LINE_STATUS) & STATUS_RECEIVED == 0 {
                return;
            }
        }
    }

    fn receive_pending(&self) {
        for _ in 0..BURST {
            if self.read(LINE_STATUS) & STATUS_RECEIVED == 0 {
                return;
            }
            let byte = self.read(DATA);
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
    fn send_pending(&self) -> bool {
        for _ in 0..BURST {
            if self.read(LINE_STATUS) & STATUS_TRANSMITTER_EMPTY == 0 {
                break;
            }
            for _ in 0..TRANSMIT_FIFO {
                match self.queues.with(|queues| queues.to_send.pop()) {
                    Some(byte) => self.write(DATA, byte),
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

    fn read(&self, register: u16) -> u8 {
        // SAFETY: the hypervisor lets only the device's owner reach its ports; a serial
        // port moves no memory.
        unsafe { port::read_u8(self.first_port + register) }
    }

    fn write(&self, register: u16, value: u8) {
        // SAFETY: as for `read`.
        unsafe { port::write_u8(self.first_port + register, value) };
    }
}
