//! The digest of an output: made by the replicas at their commit, and compared at the
//! device's other end, so that nothing between can change an output unnoticed.
use crate::Set;
use crate::layout::purpose;
use tern_abi::system_call::MESSAGE_WORDS;
use tern_plant::code::CodeWords;
use tern_plant::frames::Command;

/// Returns the digest of an output of at most [`MESSAGE_WORDS`] words in its set and epoch:
/// that of another epoch does not pass for it.
#[must_use]
pub fn output_digest(set: &Set, epoch: u64, output: &[u64]) -> u64 {
    let mut words = [0; 2 + MESSAGE_WORDS];
    words[..2].copy_from_slice(&[u64::from(set.number), epoch]);
    let count = output.len().min(MESSAGE_WORDS);
    words[2..2 + count].copy_from_slice(&output[..count]);
    set.key.digest(purpose::OUTPUT, &words[..2 + count])
}

/// Returns the words in which replica number `replica` casts an output's digest.
#[must_use]
pub fn output_words(set: &Set, replica: usize, epoch: u64, output: &[u64]) -> CodeWords {
    set.code.encode(output_digest(set, epoch, output), replica)
}

/// Returns the output that a command carries, if it is what the set's replicas cast for the
/// command's epoch; `None` also where nothing was agreed.
#[must_use]
pub fn sound_output<'a>(set: &Set, command: &'a Command) -> Option<&'a [u64]> {
    let output = command.words.get(..usize::from(command.count))?;
    let sound = command.digest == output_digest(set, command.epoch, output);
    (sound && !output.is_empty()).then_some(output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ballot::tests::SET;

    fn command() -> Command {
        let mut words = [0; MESSAGE_WORDS];
        words[..3].copy_from_slice(&[7, 8, 9]);
        Command {
            epoch: 40,
            digest: output_digest(&SET, 40, &[7, 8, 9]),
            count: 3,
            words,
            ..Command::default()
        }
    }

    #[test]
    fn an_output_passes_only_as_it_was_cast_for_its_epoch_and_set() {
        let sound = command();
        assert_eq!(sound_output(&SET, &sound), Some(&[7, 8, 9][..]));
        let other = Set { number: 5, ..SET };
        assert_eq!(sound_output(&other, &sound), None, "of another set");
        for bit in 0..64 {
            for word in 0..3 {
                let mut damaged = sound;
                damaged.words[word] ^= 1 << bit;
                assert_eq!(sound_output(&SET, &damaged), None, "word {word}, bit {bit}");
            }
            for damaged in [
                Command {
                    epoch: sound.epoch ^ 1 << bit,
                    ..sound
                },
                Command {
                    digest: sound.digest ^ 1 << bit,
                    ..sound
                },
            ] {
                assert_eq!(sound_output(&SET, &damaged), None, "bit {bit}");
            }
        }
        for count in (0..=u8::MAX).filter(|count| *count != sound.count) {
            let damaged = Command { count, ..sound };
            assert_eq!(sound_output(&SET, &damaged), None, "{count} words");
        }
    }

    #[test]
    fn a_command_without_an_output_has_none_whatever_its_digest() {
        let digest = output_digest(&SET, 40, &[]);
        for digest in [0, digest] {
            let nothing = Command {
                epoch: 40,
                digest,
                ..Command::default()
            };
            assert_eq!(sound_output(&SET, &nothing), None);
        }
    }
}
