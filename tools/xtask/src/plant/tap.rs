//! Reading along: the exchanges of an arbitrator with a plant in a sandbox, from the
//! channels that they pass through, without anybody noticing.
//!
//! The plant's state is not in them. A pendulum's is computed here from the same commands,
//! by the same code: so it is also seen that it answers as it should.
use super::{Exchange, Motion, Taker};
use crate::emulator::{Directory, Memory};
use crate::error::{Error, Result};
use std::collections::VecDeque;
use tern_abi::line::LinePosition;
use tern_config::{DeviceChannels, System};
use tern_pendulum::{Pendulum, plant};
use tern_plant::frames::{Command, Decoder, Frame, MAX_FRAME, Sample};
use tern_units::HostPhysical;

/// Both directions of a device's line, read along.
#[derive(Debug)]
pub struct Tap {
    output: Direction,
    input: Direction,
    waiting: VecDeque<Command>,
    taker: Taker,
    pendulum: Option<Pendulum>,
}

impl Tap {
    /// Of a device with `channels` whose plant takes what `taker` takes, and `pendulum` behind
    /// it as at its start; or some other plant.
    ///
    /// # Errors
    /// If the machine's directory does not know the channels.
    pub fn new(
        directory: &Directory,
        system: &System,
        channels: DeviceChannels,
        taker: Taker,
        pendulum: Option<Pendulum>,
    ) -> Result<Self> {
        Ok(Self {
            output: Direction::new(directory, system, channels.output)?,
            input: Direction::new(directory, system, channels.input)?,
            waiting: VecDeque::new(),
            taker,
            pendulum,
        })
    }

    /// The exchanges that were completed since the last call.
    ///
    /// # Errors
    /// If the plant has answered what it was not asked, or other than the same commands
    /// lead to on the host.
    pub fn exchanges(&mut self, memory: &Memory) -> Result<Vec<Exchange>> {
        // What is answered before the commands are read is then complete.
        let samples = self.input.frames(memory)?;
        for frame in self.output.frames(memory)? {
            if let Frame::Command(command) = frame {
                self.waiting.push_back(command);
            }
        }
        let samples = samples.into_iter().filter_map(|frame| match frame {
            Frame::Sample(sample) => Some(sample),
            Frame::Command(_) => None,
        });
        samples.map(|sample| self.answered(&sample)).collect()
    }

    fn answered(&mut self, sample: &Sample) -> Result<Exchange> {
        let number = sample.number;
        let command = self.waiting.pop_front();
        let Some(command) = command.filter(|command| command.epoch.checked_add(1) == Some(number))
        else {
            return Err(Error::failure(format!(
                "the plant has sent sample {number}, which nobody asked for"
            )));
        };
        let pendulum = self.pendulum.as_mut();
        let output = self.taker.take(&command);
        let motion = pendulum.map(|pendulum| Motion::after(pendulum, output.as_ref(), &command));
        let words = motion.map_or(sample.words, |motion| plant::words(motion.measured));
        let expected = self.taker.sample(command.epoch, &words);
        let mut bytes = [0; MAX_FRAME];
        let length = Frame::Sample(*sample).encode(&mut bytes);
        if expected != bytes[..length] {
            return Err(Error::failure(format!(
                "the plant has answered epoch {} otherwise than the host's: was it built from \
                 the same source?",
                command.epoch
            )));
        }
        Ok(Exchange {
            command,
            accepted: output.is_some(),
            motion,
        })
    }
}

/// One direction.
#[derive(Debug)]
struct Direction {
    address: HostPhysical,
    bytes: usize,
    position: LinePosition,
    decoder: Decoder,
}

impl Direction {
    fn new(directory: &Directory, system: &System, channel: u32) -> Result<Self> {
        let place = (channel as usize, &system.channels);
        let (Some(address), Some(channel)) =
            (directory.channels.get(place.0), place.1.get(place.0))
        else {
            return Err(Error::failure(format!(
                "the machine's directory has no room for channel {channel}"
            )));
        };
        Ok(Self {
            address: *address,
            bytes: channel.bytes as usize,
            position: LinePosition::default(),
            decoder: Decoder::new(),
        })
    }

    /// The frames that have passed since the last call.
    fn frames(&mut self, memory: &Memory) -> Result<Vec<Frame>> {
        // Read front to back, the count of bytes first: what it counts is there.
        let words = memory.many_words(self.address, self.bytes / 8)?;
        let next = || self.position.receive(words.len(), |at| words[at]);
        let frames = std::iter::from_fn(next).filter_map(|byte| self.decoder.push(byte));
        Ok(frames.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::Piece;
    use std::fs::File;
    use std::io::{Seek, Write};
    use std::sync::atomic::{AtomicU64, Ordering};
    use tern_abi::line::LineWriter;
    use tern_abi::system_call::MESSAGE_WORDS;
    use tern_vote::{Code, Key, Set, output_digest};

    const WORDS: usize = 512;
    const SET: Set = Set {
        number: 0,
        replicas: 3,
        key: Key([1, 2, 3, 4]),
        code: Code::Arithmetic,
    };

    /// Two channels in a file that stands for the machine's memory.
    struct Channels {
        file: File,
        memory: Memory,
        output: Vec<AtomicU64>,
        input: Vec<AtomicU64>,
    }

    impl Channels {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("tern-tap-{name}-{}", std::process::id()));
            let file = File::create(&path).unwrap();
            let whole = Piece {
                address: HostPhysical::new(0),
                bytes: 16 * WORDS as u64,
                offset: 0,
            };
            let memory = Memory::new(File::open(&path).unwrap(), vec![whole]);
            std::fs::remove_file(&path).unwrap();
            let words = || (0..WORDS).map(|_| AtomicU64::new(0)).collect();
            Self {
                file,
                memory,
                output: words(),
                input: words(),
            }
        }

        fn tap(&self, seed: u64) -> Tap {
            let direction = |address| Direction {
                address: HostPhysical::new(address),
                bytes: 8 * WORDS,
                position: LinePosition::default(),
                decoder: Decoder::new(),
            };
            Tap {
                output: direction(0),
                input: direction(8 * WORDS as u64),
                waiting: VecDeque::new(),
                taker: Taker::digest(SET),
                pendulum: Some(Pendulum::new(seed)),
            }
        }

        fn send(&mut self, frame: &Frame) {
            let words = match frame {
                Frame::Command(_) => &self.output,
                Frame::Sample(_) => &self.input,
            };
            let mut bytes = [0; MAX_FRAME];
            let length = frame.encode(&mut bytes);
            let writer = LineWriter::new(words).unwrap();
            bytes[..length].iter().for_each(|byte| writer.send(*byte));
            self.file.rewind().unwrap();
            for word in self.output.iter().chain(&self.input) {
                let bytes = word.load(Ordering::Relaxed).to_le_bytes();
                self.file.write_all(&bytes).unwrap();
            }
        }
    }

    fn command(epoch: u64) -> Command {
        let mut words = [0; MESSAGE_WORDS];
        words[..2].copy_from_slice(&[2.5_f64.to_bits(), 7]);
        Command {
            epoch,
            digest: output_digest(&SET, epoch, &words[..2]),
            count: 2,
            words,
            ..Command::default()
        }
    }

    fn sample(number: u64, words: [u64; MESSAGE_WORDS]) -> Frame {
        let count = MESSAGE_WORDS as u8;
        Frame::Sample(Sample {
            number,
            taken: true,
            count,
            words,
            ..Sample::default()
        })
    }

    #[test]
    fn an_exchange_is_complete_once_it_is_answered() {
        let mut channels = Channels::new("complete");
        let mut tap = channels.tap(3);
        let mut plant = Pendulum::new(3);
        for epoch in 0..40 {
            channels.send(&Frame::Command(command(epoch)));
            assert!(tap.exchanges(&channels.memory).unwrap().is_empty());
            let words = plant::words(plant.answer(Some(&command(epoch).words)));
            channels.send(&sample(epoch + 1, words));
            let seen = tap.exchanges(&channels.memory).unwrap();
            let [exchange] = seen[..] else {
                panic!("{seen:?}")
            };
            assert_eq!(exchange.command, command(epoch));
            assert_eq!(exchange.motion.unwrap().angle, plant.angle());
        }
    }

    #[test]
    fn a_plant_that_answers_otherwise_is_found() {
        for (name, number, words) in [
            (
                "number",
                2,
                plant::words(Pendulum::new(3).answer(Some(&command(0).words))),
            ),
            ("words", 1, plant::words((0.5, 0.5))),
        ] {
            let mut channels = Channels::new(name);
            let mut tap = channels.tap(3);
            channels.send(&Frame::Command(command(0)));
            channels.send(&sample(number, words));
            assert!(tap.exchanges(&channels.memory).is_err(), "{name}");
        }
    }
}
