//! The plant's end of the serial line: answers each command with the next sample, in
//! lock-step, on a thread of its own.
use super::{Exchange, Motion};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use tern_abi::plant::{Decoder, Frame, MAX_FRAME, Sample};
use tern_pendulum::plant::words;
use tern_pendulum::{Pendulum, sample};

/// Drives the pendulum of `seed` over `line` until the line closes; every exchange
/// comes out of the receiver.
#[must_use]
pub fn drive(line: UnixStream, seed: u64) -> Receiver<Exchange> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        // A line that closes is the normal end: the machine is gone.
        let _ = serve(line, Pendulum::new(seed), &sender);
    });
    receiver
}

fn serve(
    mut line: UnixStream,
    mut pendulum: Pendulum,
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
            let motion = Motion::after(&mut pendulum, &command);
            line.write_all(&frame(command.epoch + 1, motion.measured))?;
            let motion = Some(motion);
            let exchange = Exchange { command, motion };
            if exchanges.send(exchange).is_err() {
                return Ok(());
            }
        }
    }
}

fn frame(number: u64, measured: (f64, f64)) -> Vec<u8> {
    let mut bytes = [0; MAX_FRAME];
    let length = Frame::Sample(Sample {
        number,
        count: sample::WORDS as u8,
        words: words(measured),
    })
    .encode(&mut bytes);
    bytes[..length].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tern_abi::plant::Command;
    use tern_abi::system_call::MESSAGE_WORDS;
    use tern_pendulum::command;

    #[test]
    fn each_command_is_answered_by_the_sample_of_the_next_number() {
        let (mut machine, line) = UnixStream::pair().unwrap();
        machine
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let exchanges = drive(line, 3);
        let mut decoder = Decoder::new();
        for epoch in 0..5 {
            let mut words = [0; MESSAGE_WORDS];
            words[command::FORCE] = 1.5_f64.to_bits();
            let command = Command {
                epoch,
                count: 2,
                words,
                ..Command::default()
            };
            let mut bytes = [0; MAX_FRAME];
            let length = Frame::Command(command).encode(&mut bytes);
            // Garbage on the line costs nothing.
            machine.write_all(&[0x7e]).unwrap();
            machine.write_all(&bytes[..length]).unwrap();
            let answer = loop {
                let mut byte = [0];
                machine.read_exact(&mut byte).unwrap();
                if let Some(frame) = decoder.push(byte[0]) {
                    break frame;
                }
            };
            let Frame::Sample(answer) = answer else {
                panic!("{answer:?}")
            };
            let exchange = exchanges.recv().unwrap();
            assert_eq!(answer.number, epoch + 1);
            assert_eq!(exchange.command.epoch, epoch);
            assert_eq!(
                answer.words[sample::ANGLE],
                exchange.motion.unwrap().measured.1.to_bits()
            );
        }
    }
}
