//! The machine's console: lines as they come, each with the host's time.
use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Lines of the console, kept from the first to the last.
#[derive(Debug)]
pub struct Console {
    incoming: Receiver<String>,
    lines: Vec<String>,
    ended: bool,
}

impl Console {
    /// Reads lines from `source` on a thread of its own until it ends.
    pub fn new(source: impl Read + Send + 'static) -> Self {
        let (sender, incoming) = channel();
        std::thread::spawn(move || {
            let mut source = BufReader::new(source);
            let mut bytes = Vec::new();
            while source
                .read_until(b'\n', &mut bytes)
                .is_ok_and(|count| count > 0)
            {
                let line = String::from_utf8_lossy(&bytes).trim_end().to_string();
                bytes.clear();
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self::of_lines(incoming)
    }

    /// Takes lines that somebody else has read.
    #[must_use]
    pub fn of_lines(incoming: Receiver<String>) -> Self {
        Self {
            incoming,
            lines: Vec::new(),
            ended: false,
        }
    }

    /// Every line so far.
    pub fn lines(&mut self) -> &[String] {
        while let Some(line) = self.receive(Duration::ZERO) {
            self.lines.push(line);
        }
        &self.lines
    }

    /// Whether the emulator has closed the console.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Waits for a line with `text`: [`Console::wait_for_any`].
    pub fn wait_for(&mut self, text: &str, bound: Duration) -> Option<String> {
        self.wait_for_any(&[text], bound)
    }

    /// Waits until some line, past or to come, contains one of `texts`, and returns that
    /// line; `None` when `bound` has passed or the console has ended before.
    pub fn wait_for_any(&mut self, texts: &[&str], bound: Duration) -> Option<String> {
        let wanted = |line: &String| texts.iter().any(|text| line.contains(text));
        if let Some(line) = self.lines().iter().find(|line| wanted(line)) {
            return Some(line.clone());
        }
        let deadline = Instant::now() + bound;
        while let Some(line) = self.receive(deadline.saturating_duration_since(Instant::now())) {
            self.lines.push(line.clone());
            if wanted(&line) {
                return Some(line);
            }
        }
        None
    }

    fn receive(&mut self, bound: Duration) -> Option<String> {
        match self.incoming.recv_timeout(bound) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                self.ended = true;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_whether_it_came_before_or_comes_later() {
        let mut console = Console::new(&b"tern: one\r\n[alpha] two\ntern: three"[..]);
        let bound = Duration::from_secs(5);
        assert_eq!(
            console.wait_for_any(&["six", "two"], bound).as_deref(),
            Some("[alpha] two")
        );
        assert_eq!(
            console.wait_for_any(&["one"], bound).as_deref(),
            Some("tern: one")
        );
        assert_eq!(console.wait_for_any(&["four"], bound), None);
        assert!(console.ended());
        assert_eq!(console.lines().len(), 3);
    }
}
