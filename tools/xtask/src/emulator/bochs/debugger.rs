//! Bochs's debugger on the emulator's standard input and output: run, stop, ask.
//!
//! Debian's Bochs is a debugger build. It runs on (`c`) or a number of ticks (`s all N`), one
//! instruction a tick on every core; it stops at the guest's breakpoint instruction, and
//! while it runs on, at SIGINT. It then takes commands; port 0xE9 comes out between them,
//! on the same stream. A line that ends with `Next at t=` and a tick marks a stop.
use crate::emulator::Console;
use crate::error::{Context, Error, Result};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// How long the emulator may take to come up, and to answer one command.
const ANSWER_BOUND: Duration = Duration::from_secs(20);

/// The tick of a time breakpoint that no machine comes to, and behind which others fire once.
/// Bochs 2.7 lets one behind which there is none fire again and again, each time after as many
/// ticks as the first (`bx_dbg_timebp_command`, `timebp_handler`): in the middle of a later
/// step, which it ends.
const NEVER: u64 = 1 << 60;

/// How the debugger says that a machine has stopped, and at which tick.
const STOP: &str = "Next at t=";

/// Where a machine stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Ticks since its start.
    pub ticks: u64,
}

/// A line of the debugger's own.
#[derive(Debug)]
enum Reply {
    Stop(Stop),
    Line(String),
}

/// A running emulator. Dropping it ends the emulator.
#[derive(Debug)]
pub(super) struct Debugger {
    child: Child,
    input: ChildStdin,
    replies: Receiver<Reply>,
    marks: u64,
    stopped: Option<Stop>,
}

impl Debugger {
    /// Starts `command` and waits until it has stopped before the machine's first
    /// instruction. What the machine has printed before a stop is on the console when the
    /// stop is known. The machine has `cores` cores.
    pub(super) fn start(mut command: Command, cores: u8) -> Result<(Self, Console)> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // SAFETY: between fork and exec only async-signal-safe functions may be called;
        // prctl and setpgid are plain system calls.
        unsafe {
            command.pre_exec(|| {
                // The emulator dies with the thread that started it, however that ends,
                // and takes no signals from the terminal: this process ends it.
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                libc::setpgid(0, 0);
                Ok(())
            });
        }
        let mut child = command
            .spawn()
            .context(|| format!("starting {}", command.get_program().display()))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            end(&mut child);
            return Err(Error::failure("the emulator has no standard streams"));
        };
        let (sender, replies) = channel();
        let (lines, console) = channel();
        std::thread::spawn(move || separate(output, &lines, &sender));
        let mut debugger = Self {
            child,
            input,
            replies,
            marks: 0,
            stopped: None,
        };
        let bound = Instant::now() + ANSWER_BOUND;
        while debugger.stopped.is_none() {
            debugger.receive(bound)?;
        }
        if cores == 1 {
            debugger.ask(&format!("sb {NEVER}"))?;
        }
        Ok((debugger, Console::of_lines(console)))
    }

    /// The emulator's process.
    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Time of the host's processors that the emulator has taken.
    pub(super) fn processor_time(&self) -> Result<Duration> {
        let (mut clock, mut time) = (
            0,
            libc::timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
        );
        // SAFETY: plain system calls that write to the two variables.
        let read = unsafe {
            libc::clock_getcpuclockid(self.child.id().cast_signed(), &raw mut clock) == 0
                && libc::clock_gettime(clock, &raw mut time) == 0
        };
        if !read {
            return Err(Error::failure("the emulator's processor time is unknown"));
        }
        Ok(Duration::new(
            time.tv_sec.cast_unsigned(),
            time.tv_nsec as u32,
        ))
    }

    /// Lets the machine run on.
    pub(super) fn resume(&mut self) -> Result<()> {
        if self.stopped.take().is_some() {
            self.command("c")?;
        }
        Ok(())
    }

    /// Lets the machine, which has `cores` cores, run for `ticks` ticks.
    ///
    /// Bochs 2.7 forgets time breakpoints when there are several cores, and steps through
    /// all of them only then.
    pub(super) fn step(&mut self, ticks: u32, cores: u8) -> Result<()> {
        if cores == 1 {
            self.ask(&format!("sb {ticks}"))?;
            return self.resume();
        }
        match self.stopped.take() {
            Some(_) => self.command(&format!("s all {ticks}")),
            None => Err(Error::failure("the machine runs already")),
        }
    }

    /// Has the debugger execute the commands of the file `script`, and hands each line that
    /// it says to `take`, until that has counted `stops` stops and `answers` lines. From a
    /// file the debugger takes some hundred thousand commands a second; what comes from its
    /// standard input it edits and remembers, which takes a hundred times as long.
    ///
    /// What the machine prints meanwhile is lost.
    pub(super) fn play(
        &mut self,
        script: &Path,
        (mut stops, mut answers): (u64, u64),
        until: Instant,
        mut take: impl FnMut(&str) -> bool,
    ) -> Result<()> {
        self.command(&format!("source {}", script.display()))?;
        while stops > 0 || answers > 0 {
            match self.receive(until)? {
                None => stops = stops.saturating_sub(1),
                Some(line) if take(&line) => answers = answers.saturating_sub(1),
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Asks the machine to stop where it is.
    pub(super) fn interrupt(&mut self) {
        if self.stopped.is_none() {
            let process = self.child.id().cast_signed();
            // SAFETY: sends a signal to the child of this process, which is not reaped.
            unsafe { libc::kill(process, libc::SIGINT) };
        }
    }

    /// Waits at most until `until` for a stop; `None` if there is none by then.
    pub(super) fn wait_for_stop(&mut self, until: Instant) -> Result<Option<Stop>> {
        while self.stopped.is_none() {
            match self
                .replies
                .recv_timeout(until.saturating_duration_since(Instant::now()))
            {
                Ok(Reply::Stop(stop)) => self.stopped = Some(stop),
                Ok(Reply::Line(_)) => {}
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return Err(self.ended()),
            }
        }
        Ok(self.stopped)
    }

    /// Fails if the emulator has ended.
    pub(super) fn check(&mut self) -> Result<()> {
        let status = self.child.try_wait();
        match status.context(|| "watching the emulator".into())? {
            None => Ok(()),
            Some(_) => Err(self.ended()),
        }
    }

    /// Sends a command to the stopped machine and returns what the debugger answers.
    pub(super) fn ask(&mut self, command: &str) -> Result<Vec<String>> {
        if self.stopped.is_none() {
            return Err(Error::failure(format!(
                "'{command}' while the machine runs"
            )));
        }
        // The answer ends where that of the next command begins.
        self.marks += 1;
        let mark = 0x7e51_0000_0000 + self.marks;
        self.command(command)?;
        self.command(&format!("calc {mark}"))?;
        let end = format!("{mark:#x} {mark}");
        let bound = Instant::now() + ANSWER_BOUND;
        let mut lines = Vec::new();
        loop {
            match self.receive(bound)? {
                Some(line) if line == end => return Ok(lines),
                Some(line) => lines.push(line),
                None => {}
            }
        }
    }

    /// Ends the emulator.
    pub(super) fn quit(mut self) -> Result<ExitStatus> {
        if self.stopped.is_none() || self.command("q").is_err() {
            self.child.kill().context(|| "ending the emulator".into())?;
        }
        self.child
            .wait()
            .context(|| "waiting for the emulator's end".into())
    }

    fn command(&mut self, line: &str) -> Result<()> {
        writeln!(self.input, "{line}")
            .and_then(|()| self.input.flush())
            .context(|| format!("telling the emulator '{line}'"))
    }

    fn receive(&mut self, until: Instant) -> Result<Option<String>> {
        let left = until.saturating_duration_since(Instant::now());
        match self.replies.recv_timeout(left) {
            Ok(Reply::Line(line)) => Ok(Some(line)),
            Ok(Reply::Stop(stop)) => {
                self.stopped = Some(stop);
                Ok(None)
            }
            Err(RecvTimeoutError::Timeout) => {
                Err(Error::failure("the emulator's debugger does not answer"))
            }
            Err(RecvTimeoutError::Disconnected) => Err(self.ended()),
        }
    }

    fn ended(&mut self) -> Error {
        match self.child.wait() {
            Ok(status) => Error::failure(format!("the emulator ended with {status}")),
            Err(error) => Error::failure(format!("watching the emulator: {error}")),
        }
    }
}

impl Drop for Debugger {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Kills and reaps; a process that has ended already is not an error.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Sends what the machine prints to `console` and what the debugger says to `replies`.
fn separate(output: impl Read, console: &Sender<String>, replies: &Sender<Reply>) {
    let mut stopped = true; // the banner is not the machine's
    let mut output = BufReader::new(output);
    let mut bytes = Vec::new();
    let mut begun = String::new();
    let mut unfinished = String::new();
    while output
        .read_until(b'\n', &mut bytes)
        .is_ok_and(|count| count > 0)
    {
        let text = String::from_utf8_lossy(&bytes);
        let line = format!("{begun}{}", text.trim_end());
        begun.clear();
        bytes.clear();
        // Where a guest has a triple fault, the debugger says so in the middle of a line of
        // another core's: `(2).[31688705] [0x000003608a56] 0008:0000000000208a56 …`.
        if let Some(at) = line
            .find(").[")
            .filter(|_| !stopped && !line.starts_with('('))
        {
            begun.push_str(line[..at].trim_end_matches(|it: char| it.is_ascii_digit()));
            begun.pop();
            continue;
        }
        let sent = if let Some((before, ticks)) = line.split_once(STOP)
            && (stopped || ticks.parse::<u64>().is_ok())
        {
            // A step may end in the middle of a line, which goes on with the next step.
            if !stopped {
                unfinished.push_str(before);
            }
            stopped = true;
            let ticks = ticks.parse().unwrap_or(0);
            replies.send(Reply::Stop(Stop { ticks })).is_ok()
        } else if line.starts_with("<bochs:") {
            // The prompt with the command's echo.
            stopped = stopped && !line.ends_with("> c") && !line.contains("> s ");
            true
        } else if line.starts_with('(') {
            // Where a core stands, at a stop.
            true
        } else if stopped {
            replies.send(Reply::Line(line)).is_ok()
        } else {
            let whole = std::mem::take(&mut unfinished) + &line;
            console.send(whole).is_ok()
        };
        if !sent {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_lines_and_the_debuggers_are_kept_apart() {
        let output = "banner\nNext at t=0\n(0) jmp\n<bochs:1> c\ntern: hello\r\ntern: b(7).[31] [0x8a56] 0008:8a56 (unk. ctxt): ud2\n\
                      ye\n(1) Magic breakpoint\nNext at t=42\n\
                      (0) hlt\n<bochs:2> s all 9\ntern: halfNext at t=51\n(0) hlt\n<bochs:3> s all 9\n \
                      a line\nNext at t=60\n(0) hlt\n<bochs:4> xp /2gx 0x8\n\
                      0x8 <bogus+ 0>:\t0x1\t0x00000002\n";
        let (lines, console) = channel();
        let (sender, replies) = channel();
        separate(output.as_bytes(), &lines, &sender);
        drop((lines, sender));
        assert_eq!(
            console.iter().collect::<Vec<_>>(),
            ["tern: hello", "tern: bye", "tern: half a line"]
        );
        let replies: Vec<_> = replies.iter().collect();
        let stops: Vec<_> = replies
            .iter()
            .filter_map(|reply| match reply {
                Reply::Stop(stop) => Some(stop.ticks),
                Reply::Line(_) => None,
            })
            .collect();
        assert_eq!(stops, [0, 42, 51, 60]);
        let Some(Reply::Line(last)) = replies.last() else {
            panic!("no answer");
        };
        assert_eq!(last, "0x8 <bogus+ 0>:\t0x1\t0x00000002");
    }
}
