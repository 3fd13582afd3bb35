//! A sandbox that forges: some of the commands that its voter is about to hand to the driver
//! become others, such as somebody can make who knows all that its sandbox knows. That is the key
//! of the set, and whatever was said before; it is not the keys of the replicas' places, of which a
//! majority's are needed.
use super::aim::Aim;
use super::kernel::Kernel;
use super::tool::{Function, Look, Tool};
use crate::build;
use crate::emulator::{Memory, Registers, Space};
use crate::error::{Error, Result};
use crate::symbols::{self, Symbols};
use tern_plant::frames::{Command, Decoder, Frame, MAX_FRAME};
use tern_plant::tag::PlaceTag;
use tern_replication::set_of;
use tern_units::HostPhysical;
use tern_vote::{Set, output_digest};

/// The function that makes a command's bytes. In the voter's sandbox nothing else calls it.
const ENCODE: &str = "tern_plant::frames::Frame::encode";
/// Numbers of registers: what a function returns, its second argument, and the stack pointer.
const RETURNED: usize = 0;
const SECOND_ARGUMENT: usize = 4;
const STACK: usize = Registers::STACK;
/// Commands of an arbitrator that are forged, and of how many in a row one is: the pendulum outlives
/// three epochs without an output, and is so far from falling as to tell a wrong one.
const FORGED: usize = 12;
const ONE_OF: usize = 4;
/// Commands of others that are waited for until the first that is to be forged comes; and until it
/// is plain that another voter has the device.
const PATIENCE: u32 = 100;
const MOVED: u32 = 16;

/// Forges commands of the voter that `aim` names, and returns the epochs of those.
///
/// # Errors
/// If the thread is no voter, or no command of it is seen.
pub(super) fn forge(
    tool: &mut impl Tool,
    aim: &Aim<'_>,
    random: &mut fastrand::Rng,
    look: Look<'_>,
) -> Result<Vec<u64>> {
    let forger = Forger::new(tool.memory(), aim)?;
    let mut epochs = Vec::new();
    let mut seen = Vec::new();
    for number in 0..FORGED * ONE_OF {
        let may_have_lost = forger.may_lose_device && !epochs.is_empty();
        let stops = if may_have_lost { MOVED } else { PATIENCE };
        let call = match forger.next_command(tool, stops)? {
            Some(call) => call,
            None if may_have_lost => break,
            None => return Err(unseen()),
        };
        // Where others wait for the device none is sound, until one of them has it.
        if forger.may_lose_device || number % ONE_OF == 0 {
            let command = forged(&call.command, &seen, &forger.set, random);
            call.replace(tool, forger.core, &command)?;
            epochs.push(command.epoch);
        }
        seen.push(call.command);
        look(tool.memory())?;
    }
    Ok(epochs)
}

/// Makes another command of `sound`, with whatever is known of its set and of `seen`. Its digest
/// fits, as the one who forges knows the set's key.
fn forged(sound: &Command, seen: &[Command], set: &Set, random: &mut fastrand::Rng) -> Command {
    let mut command = *sound;
    let old = seen.iter().filter(|old| old.words != sound.words);
    let old = random.choice(old.collect::<Vec<_>>());
    match (random.u8(..4), old) {
        // An earlier output, as the answer to what is asked now; or all of an earlier command.
        (0, Some(old)) => (command.count, command.words) = (old.count, old.words),
        (1, Some(old)) => {
            command = Command {
                epoch: sound.epoch,
                status: sound.status,
                ..*old
            };
        }
        // Words that nobody has computed, with the tags of others, or with tags by chance.
        (kind, _) => {
            command.count = command.count.max(1);
            command.words[0] ^= 1 << random.u32(48..64);
            for place in 0..set.replicas {
                let tag = random.u64(..);
                if kind % 2 == 1 {
                    command.tags.put(place, PlaceTag { number: 0, tag });
                }
            }
        }
    }
    let output = &command.words[..usize::from(command.count)];
    command.digest = output_digest(set, command.epoch, output);
    command
}

/// Where a voter makes its commands.
struct Forger {
    core: u32,
    encode: Function,
    kernel: Kernel,
    /// Where its sandbox's memory begins.
    base: HostPhysical,
    set: Set,
    /// Whether the set has other voters, to which its device may move.
    may_lose_device: bool,
}

fn unseen() -> Error {
    Error::failure("forge: the voter has made no command")
}

/// A command that a voter has made the bytes of, and stands still.
struct Call {
    command: Command,
    /// Where the bytes are.
    bytes: u64,
    space: Space,
}

impl Forger {
    fn new(memory: &Memory, aim: &Aim<'_>) -> Result<Self> {
        let (system, place) = (aim.system, &aim.place);
        let sets = system.replica_sets.iter();
        let number = sets.enumerate().find(|(_, set)| set.voters.contains(place));
        let (number, set) = number.ok_or_else(|| Error::input("forge: that thread is no voter"))?;
        let sandbox = place.sandbox as usize;
        let file = build::binary(&system.sandboxes[sandbox].kernel)?;
        let encode = Symbols::read(&file)?.function(ENCODE).ok_or_else(|| {
            let file = file.display();
            Error::input(format!("forge: {file} has no function {ENCODE}"))
        })?;
        let calls = symbols::calls(&file, encode)?;
        let entry = &aim.directory.entries[sandbox];
        Ok(Self {
            core: entry.apic_id as u32,
            encode: Function {
                entry: encode,
                calls,
            },
            kernel: Kernel::find(memory, aim.directory, system, sandbox)?,
            base: HostPhysical::new(entry.memory),
            set: set_of(number as u32, set),
            may_lose_device: set.voters.len() > 1,
        })
    }

    /// Runs to where the next command's bytes are made; `None` if none are.
    fn next_command(&self, tool: &mut impl Tool, stops: u32) -> Result<Option<Call>> {
        let Some(begin) = tool.run_to_call(self.core, &self.encode, stops)? else {
            return Ok(None);
        };
        let space = Space::read(tool.memory(), self.base, begin.root)?;

        // At its first instruction a function's return address is on top of the stack.
        let stack = begin.general[STACK];
        let back = space.bytes(tool.memory(), stack, 8)?;
        let back = u64::from_le_bytes(back.try_into().map_err(|_| unseen())?);
        let (slot, _) = space
            .pieces(stack, 8)?
            .into_iter()
            .next()
            .ok_or_else(unseen)?;
        let end = tool.run_to_return(self.core, &self.kernel, slot, back)?;
        let end = end.ok_or_else(unseen)?;

        let bytes = begin.general[SECOND_ARGUMENT];
        let length = usize::try_from(end.general[RETURNED]).unwrap_or(MAX_FRAME);
        let frame = space.bytes(tool.memory(), bytes, length.min(MAX_FRAME))?;
        let mut decoder = Decoder::new();
        match frame.iter().find_map(|byte| decoder.push(*byte)) {
            Some(Frame::Command(command)) => Ok(Some(Call {
                command,
                bytes,
                space,
            })),
            Some(Frame::Sample(_)) | None => Err(unseen()),
        }
    }
}

impl Call {
    /// Puts other bytes in the place of those that were made.
    fn replace(&self, tool: &mut impl Tool, core: u32, command: &Command) -> Result<()> {
        let mut bytes = [0; MAX_FRAME];
        let length = Frame::Command(*command).encode(&mut bytes);
        let mut rest = &bytes[..length];
        for (address, count) in self.space.pieces(self.bytes, length)? {
            let (piece, others) = rest.split_at(count);
            tool.write(address, piece)?;
            rest = others;
        }
        tool.set_register(core, RETURNED, length as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tern_plant::tag::Challenge;
    use tern_vote::{Code, Key, sound_output};

    const SET: Set = Set {
        number: 2,
        replicas: 3,
        key: Key([1, 2, 3, 4]),
        code: Code::Arithmetic,
    };

    fn command(epoch: u64) -> Command {
        let mut command = Command {
            epoch,
            challenge: Challenge::from_word(!epoch),
            count: 2,
            ..Command::default()
        };
        command.words[..2].copy_from_slice(&[epoch, 7]);
        command.digest = output_digest(&SET, epoch, &command.words[..2]);
        command
    }

    #[test]
    fn what_is_forged_is_of_its_epoch_and_has_a_digest_that_fits_another_output() {
        let seen: Vec<_> = (0..5).map(command).collect();
        for seed in 0..1000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let seen = &seen[..seed as usize % 6];
            let forged = forged(&command(9), seen, &SET, &mut random);
            assert_eq!(forged.epoch, 9);
            let output = sound_output(&SET, &forged).unwrap();
            assert_ne!(output, &command(9).words[..2], "seed {seed}");
        }
    }
}
