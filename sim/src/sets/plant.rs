//! What is at the far end of a set's device, and who judges what comes out: it takes the
//! outputs that a majority has tagged, or whose digest fits, answers each command with the next sample, and compares every
//! output with that of a copy that no fault reaches.
use tern_abi::system_call::MESSAGE_WORDS;
use tern_plant::actuator::{Actuator, Outcome};
use tern_plant::frames::{Command, Decoder, Frame, MAX_FRAME, Sample};
use tern_units::Instant;
use tern_vote::{Release, Set, sound_output};

use super::program::{Memory, next, run_job};

/// The most histories that may explain the outputs so far.
const MOST_HISTORIES: usize = 16;

/// The far end of the device.
#[derive(Clone, Debug)]
pub(crate) struct Plant {
    set: Set,
    /// What takes the outputs, where they are tagged.
    pub(super) actuator: Option<Actuator>,
    decoder: Decoder,
    /// Bytes on their way to the voter.
    answer: Vec<u8>,
    /// Where somebody has the line: the commands that came from the voter.
    pub(crate) intercepted: Option<Vec<Command>>,
    sound: Vec<Memory>,
    /// The first epoch whose job the sound copies have not been asked about.
    next: u64,
    /// The outputs that came from the voter and are what a sound copy computes, by epoch.
    released: Vec<(u64, Vec<u64>)>,
    /// The output taken last, and its epoch.
    taken: Option<(u64, Vec<u64>)>,
    /// Epochs whose output was taken.
    pub(crate) accepted: Vec<u64>,
    /// Epochs whose output was taken and is not what a sound copy computes.
    pub(crate) wrong: Vec<u64>,
    /// Epochs at whose command the safe action was due.
    pub(crate) safe: Vec<u64>,
    /// The newest command.
    pub(crate) last: Command,
}

impl Plant {
    pub(crate) fn new(set: Set, actuator: Option<Actuator>, pages: u32) -> Self {
        Self {
            set,
            actuator,
            decoder: Decoder::new(),
            answer: Vec::new(),
            intercepted: None,
            sound: vec![Memory::new(pages)],
            next: 0,
            released: Vec::new(),
            taken: None,
            accepted: Vec::new(),
            wrong: Vec::new(),
            safe: Vec::new(),
            last: Command::default(),
        }
    }

    /// Takes what the voter sends.
    pub(crate) fn take(&mut self, bytes: &[u8], now: Instant, inputs: &[Release]) {
        for byte in bytes {
            let Some(Frame::Command(command)) = self.decoder.push(*byte) else {
                continue;
            };
            self.follow(&command, inputs);
            match &mut self.intercepted {
                Some(intercepted) => intercepted.push(command),
                None => self.command(&command, now),
            }
        }
    }

    /// Hands the voter what has come, byte by byte up to the end of a frame.
    pub(crate) fn give(&mut self, decoder: &mut Decoder) -> Option<Frame> {
        let mut bytes = self.answer.drain(..);
        let frame = bytes.find_map(|byte| decoder.push(byte));
        self.answer = bytes.collect();
        frame
    }

    /// Loses what is on its way to the voter.
    pub(super) fn forget_answers(&mut self) {
        self.answer.clear();
    }

    /// The samples on their way to the voter, for somebody who has the line to change.
    pub(crate) fn samples(&mut self) -> Vec<Sample> {
        let mut decoder = Decoder::new();
        let frames = self.answer.drain(..).filter_map(|byte| decoder.push(byte));
        let samples = frames.filter_map(|frame| match frame {
            Frame::Sample(sample) => Some(sample),
            Frame::Command(_) => None,
        });
        samples.collect()
    }

    /// Puts a sample on its way to the voter.
    pub(crate) fn answer(&mut self, sample: Sample) {
        let mut bytes = [0; MAX_FRAME];
        let length = Frame::Sample(sample).encode(&mut bytes);
        self.answer.extend(&bytes[..length]);
    }

    /// Follows what the set releases, whether the device takes it or not.
    fn follow(&mut self, command: &Command, inputs: &[Release]) {
        // An actuator that counts tags does not read the digest; a command without words has no output.
        let words = command.words.get(..usize::from(command.count));
        let words = words.filter(|words| !words.is_empty());
        let output = match self.actuator {
            None => sound_output(&self.set, command),
            Some(_) => words,
        };
        let Some(output) = output else {
            return;
        };
        let released = (command.epoch, output.to_vec());
        let known = self.released.contains(&released);
        if !known && self.explains(command.epoch, output, inputs) {
            self.released.push(released);
        }
    }

    /// The device gets a command.
    pub(crate) fn command(&mut self, command: &Command, now: Instant) {
        self.last = *command;
        let accepted = match &mut self.actuator {
            None => sound_output(&self.set, command).map(<[u64]>::to_vec),
            Some(actuator) => match actuator.accept(command, now) {
                Outcome::Accepted(output) => Some(output.words().to_vec()),
                Outcome::Nothing | Outcome::Refused(_) => None,
            },
        };
        let due = self.actuator.as_mut().and_then(|it| it.due(now));
        if due.is_some() {
            self.safe.push(command.epoch);
        }
        let was_taken = accepted.is_some();
        if let Some(output) = accepted {
            // A voter that starts anew may say the same twice; it is taken once.
            let taken = (command.epoch, output);
            if self.taken.as_ref() != Some(&taken) {
                if !self.released.contains(&taken) {
                    self.wrong.push(command.epoch);
                }
                self.accepted.push(command.epoch);
                self.taken = Some(taken);
            }
        }
        let number = command.epoch.wrapping_add(1);
        let words = measured(number);
        let mut bytes = [0; MAX_FRAME];
        let length = match &mut self.actuator {
            Some(actuator) => actuator.sample(&words, &mut bytes),
            None => Frame::Sample(Sample {
                number,
                taken: was_taken,
                count: MESSAGE_WORDS as u8,
                words,
                ..Sample::default()
            })
            .encode(&mut bytes),
        };
        self.answer.extend(&bytes[..length]);
    }

    /// Whether a sound copy computes this output: one that has done the job of each epoch with
    /// an output, and may have done that of others.
    fn explains(&mut self, epoch: u64, output: &[u64], inputs: &[Release]) -> bool {
        if epoch < self.next {
            return false;
        }
        for before in self.next..epoch {
            let Some(input) = inputs.iter().find(|input| input.epoch == before) else {
                continue;
            };
            // In an epoch without an output all have done its job, or none.
            for at in 0..self.sound.len().min(MOST_HISTORIES / 2) {
                let mut memory = self.sound[at].clone();
                run_job(&mut memory, input);
                if !self.sound.contains(&memory) {
                    self.sound.push(memory);
                }
            }
        }
        self.next = epoch;

        // What no copy computes tells nothing of them.
        let Some(input) = inputs.iter().find(|input| input.epoch == epoch) else {
            return false;
        };
        let mut explained = self.sound.clone();
        explained.retain_mut(|memory| output.starts_with(&run_job(memory, input)));
        let is_explained = !explained.is_empty();
        if is_explained {
            self.sound = explained;
            self.next = epoch + 1;
        }
        is_explained
    }

    /// Forgets what no device takes any more.
    pub(crate) fn forget(&mut self) {
        let old = self.released.len().saturating_sub(MOST_HISTORIES);
        self.released.drain(..old);
    }

    /// The memories that a sound copy may have now.
    pub(crate) fn sound(&self) -> &[Memory] {
        &self.sound
    }
}

/// The measurement of sample `number`: any function of it.
pub(crate) fn measured(number: u64) -> [u64; MESSAGE_WORDS] {
    let mut state = number ^ 0x5a5a_1234;
    std::array::from_fn(|_| next(&mut state))
}
