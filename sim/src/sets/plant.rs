//! What is at the far end of a set's device, and who judges what comes out: it takes the
//! outputs whose digest fits, answers each command with the next sample, and compares every
//! output with that of a copy that no fault reaches.
use tern_abi::system_call::MESSAGE_WORDS;
use tern_plant::frames::{Command, Decoder, Frame, MAX_FRAME, Sample};
use tern_vote::{Release, Set, sound_output};

use super::program::{Memory, next, run_job};

/// The most histories that may explain the outputs so far.
const MOST_HISTORIES: usize = 16;

/// The far end of the device.
#[derive(Clone, Debug)]
pub(crate) struct Plant {
    set: Set,
    decoder: Decoder,
    /// Bytes on their way to the voter.
    answer: Vec<u8>,
    sound: Vec<Memory>,
    /// The first epoch whose job the sound copies have not been asked about.
    next: u64,
    /// The output taken last, and its epoch.
    taken: Option<(u64, Vec<u64>)>,
    /// Epochs whose output was taken.
    pub(crate) accepted: Vec<u64>,
    /// Epochs whose output was not what a sound copy computes.
    pub(crate) wrong: Vec<u64>,
    /// The newest command.
    pub(crate) last: Command,
}

impl Plant {
    pub(crate) fn new(set: Set, pages: u32) -> Self {
        Self {
            set,
            decoder: Decoder::new(),
            answer: Vec::new(),
            sound: vec![Memory::new(pages)],
            next: 0,
            taken: None,
            accepted: Vec::new(),
            wrong: Vec::new(),
            last: Command::default(),
        }
    }

    /// Takes what the voter sends.
    pub(crate) fn take(&mut self, bytes: &[u8], inputs: &[Release]) {
        for byte in bytes {
            if let Some(Frame::Command(command)) = self.decoder.push(*byte) {
                self.command(&command, inputs);
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

    fn command(&mut self, command: &Command, inputs: &[Release]) {
        self.last = *command;
        if let Some(output) = sound_output(&self.set, command) {
            // A voter that starts anew may say the same twice; it is taken once.
            let taken = Some((command.epoch, output.to_vec()));
            if taken != self.taken {
                self.judge(command.epoch, output, inputs);
                self.accepted.push(command.epoch);
                self.taken = taken;
            }
        }
        let number = command.epoch.wrapping_add(1);
        let sample = Sample {
            number,
            count: MESSAGE_WORDS as u8,
            words: measured(number),
            ..Sample::default()
        };
        let mut bytes = [0; MAX_FRAME];
        let length = Frame::Sample(sample).encode(&mut bytes);
        self.answer.extend(&bytes[..length]);
    }

    /// Whether a sound copy computes this output: one that has done the job of each epoch with
    /// an output, and may have done that of others.
    fn judge(&mut self, epoch: u64, output: &[u64], inputs: &[Release]) {
        if epoch < self.next {
            self.wrong.push(epoch);
            return;
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
        self.next = epoch + 1;

        let input = inputs.iter().find(|input| input.epoch == epoch);
        let explained = input.map(|input| {
            let mut explained = Vec::new();
            for mut memory in std::mem::take(&mut self.sound) {
                if output.starts_with(&run_job(&mut memory, input)) {
                    explained.push(memory);
                }
            }
            explained
        });
        match explained {
            Some(explained) if !explained.is_empty() => self.sound = explained,
            _ => self.wrong.push(epoch),
        }
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
