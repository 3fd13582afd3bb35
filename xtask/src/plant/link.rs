//! The plant's end of the serial line: answers each command with the next sample, in
//! lock-step, on a thread of its own.
use super::Pendulum;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;
use tern_abi::plant::{Command, Decoder, Frame, MAX_FRAME, Sample};
use tern_abi::system_call::MESSAGE_WORDS;
use tern_pendulum::{command, sample};

/// One command and what it led to.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// When the command came, in the host's time.
    pub at: Instant,
    /// What came.
    pub command: Command,
    /// What was measured after it, and sent as sample `command.epoch + 1`.
    pub measured: (f64, f64),
    /// The cart's true position after it, m.
    pub position: f64,
    /// The pendulum's true angle after it, rad.
    pub angle: f64,
    /// Whether the pendulum has fallen.
    pub fallen: bool,
}

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
    let mut force = 0.0;
    loop {
        let count = line.read(&mut bytes)?;
        if count == 0 {
            return Ok(());
        }
        for byte in &bytes[..count] {
            let Some(Frame::Command(command)) = decoder.push(*byte) else {
                continue;
            };
            let at = Instant::now();
            // Without an agreed output the motor keeps the force it has.
            if usize::from(command.count) > command::FORCE {
                force = f64::from_bits(command.words[command::FORCE]);
            }
            pendulum.step(force);
            let measured = pendulum.measure();
            line.write_all(&frame(command.epoch + 1, measured))?;
            let exchange = Exchange {
                at,
                command,
                measured,
                position: pendulum.position(),
                angle: pendulum.angle(),
                fallen: pendulum.fallen(),
            };
            if exchanges.send(exchange).is_err() {
                return Ok(());
            }
        }
    }
}

fn frame(number: u64, (position, angle): (f64, f64)) -> Vec<u8> {
    let mut words = [0; MESSAGE_WORDS];
    words[sample::POSITION] = position.to_bits();
    words[sample::ANGLE] = angle.to_bits();
    let count = sample::WORDS as u8;
    let mut bytes = [0; MAX_FRAME];
    let length = Frame::Sample(Sample {
        number,
        count,
        words,
    })
    .encode(&mut bytes);
    bytes[..length].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

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
            assert_eq!(answer.words[sample::ANGLE], exchange.measured.1.to_bits());
        }
    }
}
