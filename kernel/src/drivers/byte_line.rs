//! The two directions of the line between a simulated device's driver and its plant, as
//! channels: see `tern_abi::line`.
use crate::image::channels;
use crate::sync::interrupt_cell::InterruptCell;
use core::sync::atomic::AtomicU64;
use tern_abi::line::{LinePosition, LineWriter};
use tern_config::DeviceChannels;
use tern_vote::Reader;

/// Bytes taken at most at a time: a writer that never stops holds nobody up.
pub const MOST_BYTES: usize = 2048;

/// One end of a line.
#[derive(Debug)]
pub struct Line {
    to: LineWriter<'static>,
    from: Reader<'static>,
    position: InterruptCell<LinePosition>,
}

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The driver's.
    Driver,
    /// The plant's.
    Plant,
}

impl Line {
    /// The end of the line over `channels`; `None` if this sandbox does not have it.
    #[must_use]
    pub fn new(channels: DeviceChannels, end: End) -> Option<Self> {
        let DeviceChannels { output, input } = channels;
        let (to, from) = match end {
            End::Driver => (output, input),
            End::Plant => (input, output),
        };
        let to: &'static [AtomicU64] = channels::own_words(to)?;
        Some(Self {
            to: LineWriter::new(to)?,
            from: channels::reader(from)?,
            position: InterruptCell::new(LinePosition::default()),
        })
    }

    /// Sends a byte.
    pub fn send(&self, byte: u8) {
        self.to.send(byte);
    }

    /// Takes the next byte that has come.
    pub fn receive(&self) -> Option<u8> {
        let (words, load) = (self.from.len(), |at| self.from.load(at));
        self.position.with(|position| position.receive(words, load))
    }
}
