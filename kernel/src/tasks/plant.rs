//! A plant in a sandbox: a program that stands for what is at the other end of a device,
//! behind the frames that the device's driver sends and receives.
//!
//! A command is the input of one of its jobs, whose output is the sample that answers. An
//! output that no majority of its set has tagged, or without tags one that is not what its
//! replicas cast, is taken for none.
use crate::clock;
use crate::drivers::byte_line::{End, Line, MOST_BYTES};
use crate::image::{description, keys};
use crate::program::process::{Outcome, Process};
use tern_abi::system_call::{MESSAGE_WORDS, input, output};
use tern_plant::actuator::{self, Actuator, Kept, Output};
use tern_plant::frames::{Command, Decoder, Frame, MAX_FRAME, Sample};
use tern_replication::{actuator_with, set_of};
use tern_units::Instant;
use tern_vote::{Set, sound_output};

/// Commands answered at a release, at most. In lock-step one is outstanding; a plant that
/// was late catches up.
pub const MOST_COMMANDS: usize = 8;

/// The plant's end of the exchange.
#[derive(Debug)]
pub struct Plant {
    line: Line,
    decoder: Decoder,
    /// The set whose outputs the device is given, if there is one.
    set: Option<Set>,
    /// What takes the outputs of a set that tags.
    actuator: Option<Actuator>,
}

impl Plant {
    /// What simulates device `device`.
    ///
    /// # Panics
    /// If this sandbox does not see the device's channels: the message says so.
    #[must_use]
    pub fn of(device: u32) -> Self {
        let sets = (0..).zip(&description::system().replica_sets);
        let mut sets = sets.filter(|(_, set)| set.device == Some(device));
        let described = sets.next();
        let set = described.map(|(number, set)| set_of(number, set));
        let tagged = described.filter(|(_, set)| set.tags);
        let actuator = tagged.and_then(|(number, set)| {
            let settings = actuator_with(number, set, keys::all());
            Actuator::start(settings, Kept::default(), clock::now())
        });
        let device = &description::system().devices[device as usize];
        let line = device
            .channels
            .and_then(|channels| Line::new(channels, End::Plant));
        let Some(line) = line else {
            panic!(
                "the plant of device \"{}\" cannot see its channels",
                device.name
            );
        };
        Self {
            line,
            decoder: Decoder::new(),
            set,
            actuator,
        }
    }

    /// Has the program answer the next command that has come, in its time `release`; `None`
    /// if there is none. Nothing is sent if the program does not end its job.
    pub fn answer_next(&mut self, process: &mut Process, release: Instant) -> Option<Outcome> {
        let command = self.next_command()?;
        let accepted = self.accepted(&command);
        let output = accepted.as_ref().map(Output::words);
        put_input(process, command.epoch, output, release);
        process.begin_job(command.epoch);
        let outcome = process.run_until(Instant::NEVER);
        if outcome == Outcome::JobDone {
            self.send(&command, accepted.is_some(), process);
        }
        Some(outcome)
    }

    /// Returns what the plant is to carry out: the command's output, if it counts.
    fn accepted(&mut self, command: &Command) -> Option<Output> {
        let Some(actuator) = &mut self.actuator else {
            let set = self.set.as_ref()?;
            return sound_output(set, command).map(Output::new);
        };
        match actuator.accept(command, clock::now()) {
            actuator::Outcome::Accepted(output) => Some(output),
            actuator::Outcome::Nothing | actuator::Outcome::Refused(_) => None,
        }
    }

    fn next_command(&mut self) -> Option<Command> {
        for _ in 0..MOST_BYTES {
            if let Some(Frame::Command(command)) = self.decoder.push(self.line.receive()?) {
                return Some(command);
            }
        }
        None
    }

    /// Answers a command, whose output was taken or not, with the next sample.
    fn send(&mut self, command: &Command, taken: bool, process: &Process) {
        let mut words = [0; MESSAGE_WORDS];
        words.copy_from_slice(&process.output()[output::PAYLOAD..][..MESSAGE_WORDS]);
        let mut bytes = [0; MAX_FRAME];
        let length = match &mut self.actuator {
            Some(actuator) => actuator.sample(&words, &mut bytes),
            None => Frame::Sample(Sample {
                number: command.epoch.wrapping_add(1),
                taken,
                count: MESSAGE_WORDS as u8,
                words,
                ..Sample::default()
            })
            .encode(&mut bytes),
        };
        for byte in &bytes[..length] {
            self.line.send(*byte);
        }
    }
}

/// Fills in a job's input: fresh if a sound output has come, else the last one stands.
fn put_input(process: &mut Process, epoch: u64, output: Option<&[u64]>, release: Instant) {
    let page = process.input_mut();
    page[input::EPOCH] = epoch;
    page[input::RELEASE_TIME] = release.as_nanos();
    page[input::FRESH] = u64::from(output.is_some());
    if let Some(output) = output {
        page[input::SAMPLE] = epoch;
        let payload = &mut page[input::PAYLOAD..][..MESSAGE_WORDS];
        payload.fill(0);
        payload[..output.len()].copy_from_slice(output);
    }
}
