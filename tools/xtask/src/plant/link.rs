//! The plant's end of the serial line: answers each command with the next sample, in
//! lock-step, on a thread of its own.
use super::{Exchange, Motion, Taker};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use tern_pendulum::plant::words;
use tern_pendulum::{Pendulum, sample};
use tern_plant::frames::{Decoder, Frame};

/// Drives the pendulum of `seed` by the outputs that `taker` takes over `line` until the line closes;
/// every exchange comes out of the receiver.
#[must_use]
pub fn drive(line: UnixStream, seed: u64, taker: Taker) -> Receiver<Exchange> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        // A line that closes is the normal end: the machine is gone.
        let _ = serve(line, Pendulum::new(seed), taker, &sender);
    });
    receiver
}

fn serve(
    mut line: UnixStream,
    mut pendulum: Pendulum,
    mut taker: Taker,
    exchanges: &Sender<Exchange>,
) -> std::io::Result<()> {
    let mut decoder = Decoder::new();
    let mut bytes = [0; 512];
    loop {
        let count = line.read(&mut bytes)?;
        if count == 0 {
            return Ok(());
        }
        for byte in &bytes[..count] {
            let Some(Frame::Command(command)) = decoder.push(*byte) else {
                continue;
            };
            let output = taker.take(&command);
            let motion = Motion::after(&mut pendulum, output.as_ref(), &command);
            let words = &words(motion.measured)[..sample::WORDS];
            line.write_all(&taker.sample(command.epoch, words))?;
            let exchange = Exchange {
                command,
                accepted: output.is_some(),
                motion: Some(motion),
            };
            if exchanges.send(exchange).is_err() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tern_abi::system_call::MESSAGE_WORDS;
    use tern_pendulum::command;
    use tern_plant::frames::{Command, MAX_FRAME, Sample};
    use tern_vote::{Code, Key, Set, output_digest};

    const SET: Set = Set {
        number: 0,
        replicas: 3,
        key: Key([1, 2, 3, 4]),
        code: Code::Arithmetic,
    };

    /// Sends a command and returns the number and the words of the sample that answers it.
    fn exchange(machine: &mut UnixStream, command: Command) -> Sample {
        let mut bytes = [0; MAX_FRAME];
        let length = Frame::Command(command).encode(&mut bytes);
        // Garbage on the line costs nothing.
        machine.write_all(&[0x7e]).unwrap();
        machine.write_all(&bytes[..length]).unwrap();
        let mut decoder = Decoder::new();
        loop {
            let mut byte = [0];
            machine.read_exact(&mut byte).unwrap();
            match decoder.push(byte[0]) {
                Some(Frame::Sample(sample)) => return sample,
                Some(other) => panic!("{other:?}"),
                None => {}
            }
        }
    }

    fn command(epoch: u64) -> Command {
        let mut words = [0; MESSAGE_WORDS];
        words[command::FORCE] = 1.5_f64.to_bits();
        words[command::CHECK] = 7;
        Command {
            epoch,
            digest: output_digest(&SET, epoch, &words[..2]),
            count: 2,
            words,
            ..Command::default()
        }
    }

    fn start() -> (UnixStream, Receiver<Exchange>) {
        let (machine, line) = UnixStream::pair().unwrap();
        let limit = Some(Duration::from_secs(5));
        machine.set_read_timeout(limit).unwrap();
        (machine, drive(line, 3, Taker::digest(SET)))
    }

    #[test]
    fn each_command_is_answered_by_the_sample_of_the_next_number() {
        let (mut machine, exchanges) = start();
        for epoch in 0..5 {
            let answer = exchange(&mut machine, command(epoch));
            let exchange = exchanges.recv().unwrap();
            assert_eq!(answer.number, epoch + 1);
            assert_eq!(exchange.command.epoch, epoch);
            assert!(exchange.accepted);
            assert_eq!(
                answer.words[sample::ANGLE],
                exchange.motion.unwrap().measured.1.to_bits()
            );
        }
    }

    #[test]
    fn an_output_that_is_not_what_was_cast_moves_nothing_but_time() {
        let (mut sound, _open) = start();
        let (mut damaged, exchanges) = start();
        // A set that has agreed on nothing since the last output.
        let nothing = Command {
            epoch: 1,
            ..Command::default()
        };
        let mut changed = command(1);
        changed.words[command::FORCE] ^= 1 << 62;
        for (one, other, accepted) in [(command(0), command(0), true), (nothing, changed, false)] {
            let expected = exchange(&mut sound, one);
            assert_eq!(exchange(&mut damaged, other), expected);
            assert_eq!(exchanges.recv().unwrap().accepted, accepted);
        }
    }
}
