//! One machine in Bochs, driven through the emulator's debugger on its standard input
//! and output: run, stop, memory in and out, end.
//!
//! Debian's Bochs is a debugger build. It stops where the guest writes `D` to port
//! 0x8900, at a time breakpoint, or at SIGINT, and then takes commands; port 0xE9 comes
//! out between them, on the same stream. A line that starts with `Next at t=` marks a stop.
use super::configuration::{Configuration, Model};
use super::image::{self, Parts};
use crate::emulator::Console;
use crate::error::{Context, Error, Result};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use tern_units::HostPhysical;

/// How long the emulator may take to come up, and to answer one command.
const ANSWER_BOUND: Duration = Duration::from_secs(20);
/// Words that one command reads; larger reads take several.
const WORDS_PER_READ: usize = 32 * 1024;

/// What machine to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// The emulator's program.
    pub emulator: PathBuf,
    /// The processor.
    pub model: Model,
    /// Number of cores.
    pub cores: u8,
    /// MiB of memory.
    pub memory: u64,
    /// The ROM's ELF file.
    pub rom: PathBuf,
    /// The hypervisor's ELF file.
    pub hypervisor: PathBuf,
    /// The boot module, if any.
    pub module: Option<PathBuf>,
    /// The hypervisor's command line.
    pub command_line: String,
    /// How long the machine may run, in the host's time.
    pub bound: Duration,
}

/// Why a machine does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Ticks since its start.
    pub ticks: u64,
}

/// A running emulator. Dropping it ends the emulator and removes its files.
#[derive(Debug)]
pub struct Machine {
    child: Child,
    input: ChildStdin,
    replies: Receiver<Reply>,
    marks: u64,
    stopped: Option<Stop>,
    folder: Folder,
    deadline: Instant,
    bound: Duration,
    /// What the machine prints to port 0xE9.
    pub console: Console,
}

/// A line of the debugger's own.
#[derive(Debug)]
enum Reply {
    Stop(Stop),
    Line(String),
}

impl Machine {
    /// Starts the emulator and stops before the machine's first instruction.
    ///
    /// # Errors
    /// If the images do not fit, or the emulator cannot be started, with what it said.
    pub fn start(options: &Options) -> Result<Self> {
        let folder = Folder::create()?;
        let image = folder.fill(options)?;
        let said = folder.file("errors")?;
        let mut command = Command::new(&options.emulator);
        command
            .args(["-q", "-f"])
            .arg(folder.path.join("bochsrc"))
            .env("TERM", "xterm") // its screen is drawn on a terminal nobody looks at
            .env("INPUTRC", "/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(said);
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
            .context(|| format!("starting {}", options.emulator.display()))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            end(&mut child);
            return Err(Error::failure("the emulator has no standard streams"));
        };
        let (console, lines) = std::io::pipe().context(|| "making a pipe".into())?;
        let (sender, replies) = channel();
        std::thread::spawn(move || separate(output, lines, &sender));
        let mut machine = Self {
            child,
            input,
            replies,
            marks: 0,
            stopped: None,
            folder,
            deadline: Instant::now() + options.bound,
            bound: options.bound,
            console: Console::new(console),
        };
        let bound = Instant::now() + ANSWER_BOUND;
        while machine.stopped.is_none() {
            machine.receive(bound)?;
        }
        Ok(machine)
    }

    /// Lets the machine run on.
    ///
    /// # Errors
    /// If the emulator has ended.
    pub fn resume(&mut self) -> Result<()> {
        if self.stopped.take().is_some() {
            self.command("c")?;
        }
        Ok(())
    }

    /// Lets the machine run for about `ticks` and stops it: at the first instruction of
    /// the boot core after that time, so that it is the same instruction in every run.
    ///
    /// # Errors
    /// If its time is up before, or the emulator has ended.
    pub fn run_for(&mut self, ticks: u64) -> Result<Stop> {
        if self.stopped.is_none() {
            return Err(Error::failure("the machine runs already"));
        }
        self.ask(&format!("sb {ticks}"))?;
        self.resume()?;
        self.wait_for_stop()
    }

    /// Stops the machine where it is.
    ///
    /// # Errors
    /// If it does not stop.
    pub fn interrupt(&mut self) -> Result<Stop> {
        if self.stopped.is_none() {
            let process = self.child.id().cast_signed();
            // SAFETY: sends a signal to the child of this process, which is not reaped.
            unsafe { libc::kill(process, libc::SIGINT) };
        }
        self.wait_for_stop()
    }

    /// Waits until the machine stops by itself, at most until its time is up.
    ///
    /// # Errors
    /// If it does not stop, or the emulator ends.
    pub fn wait_for_stop(&mut self) -> Result<Stop> {
        loop {
            if let Some(stop) = self.stopped {
                return Ok(stop);
            }
            self.receive(self.deadline)?;
        }
    }

    /// Where the machine stopped, if it has.
    pub fn stopped(&mut self) -> Option<Stop> {
        while self.stopped.is_none() {
            match self.replies.try_recv() {
                Ok(Reply::Stop(stop)) => self.stopped = Some(stop),
                Ok(Reply::Line(_)) => {}
                Err(_) => break,
            }
        }
        self.stopped
    }

    /// Waits for a console line with `text`, at most until the machine's time is up.
    ///
    /// # Errors
    /// If it does not come, or the machine stops before.
    pub fn wait_for(&mut self, text: &str) -> Result<String> {
        loop {
            if let Some(line) = self.console.wait_for(text, Duration::from_millis(100)) {
                return Ok(line);
            }
            if let Some(stop) = self.stopped() {
                return Err(Error::failure(format!(
                    "waiting for '{text}': the machine stopped at tick {}{}",
                    stop.ticks,
                    self.last_line()
                )));
            }
            self.check()
                .map_err(|error| Error::failure(format!("waiting for '{text}': {error}")))?;
        }
    }

    /// Fails if the machine's time is up or the emulator has ended, with its last words.
    ///
    /// # Errors
    /// See above.
    pub fn check(&mut self) -> Result<()> {
        if Instant::now() > self.deadline {
            return Err(Error::failure(format!(
                "the machine did not finish within {} s{}",
                self.bound.as_secs(),
                self.last_line()
            )));
        }
        match self
            .child
            .try_wait()
            .context(|| "watching the emulator".into())?
        {
            None => Ok(()),
            Some(status) => Err(self.ended(&status.to_string())),
        }
    }

    /// Reads `count` bytes of the stopped machine's memory from `address`.
    ///
    /// # Errors
    /// If the machine runs, or has no memory there.
    pub fn bytes(&mut self, address: HostPhysical, count: usize) -> Result<Vec<u8>> {
        let first = address.as_u64() & !7;
        let skipped = (address.as_u64() - first) as usize;
        let words = (skipped + count).div_ceil(8);
        let mut bytes = Vec::with_capacity(words * 8);
        while bytes.len() < words * 8 {
            let at = first + bytes.len() as u64;
            let number = (words - bytes.len() / 8).min(WORDS_PER_READ);
            let lines = self.ask(&format!("xp /{number}gx {at:#x}"))?;
            let read = lines.iter().flat_map(|line| examined(line));
            let before = bytes.len();
            bytes.extend(read.flat_map(u64::to_le_bytes));
            if bytes.len() - before != number * 8 {
                return Err(Error::failure(format!(
                    "reading {count} bytes of the machine's memory at {address}: {}",
                    lines.last().map_or("no answer", String::as_str)
                )));
            }
        }
        Ok(bytes[skipped..skipped + count].to_vec())
    }

    /// Writes `bytes` into the stopped machine's memory at `address`.
    ///
    /// # Errors
    /// If the machine runs, or has no memory there.
    pub fn write(&mut self, address: HostPhysical, bytes: &[u8]) -> Result<()> {
        for (offset, byte) in bytes.iter().enumerate() {
            let at = address.as_u64() + offset as u64;
            let said = self.ask(&format!("setpmem {at:#x} 1 {byte:#x}"))?;
            if let Some(error) = said.iter().find(|line| line.contains("Error")) {
                return Err(Error::failure(format!("writing to {address}: {error}")));
            }
        }
        Ok(())
    }

    /// Ends the emulator.
    ///
    /// # Errors
    /// If its end cannot be observed.
    pub fn quit(mut self) -> Result<ExitStatus> {
        if self.stopped().is_none() || self.command("q").is_err() {
            self.child.kill().context(|| "ending the emulator".into())?;
        }
        self.child
            .wait()
            .context(|| "waiting for the emulator's end".into())
    }

    /// Sends a command and returns what the debugger answers.
    fn ask(&mut self, command: &str) -> Result<Vec<String>> {
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

    fn command(&mut self, line: &str) -> Result<()> {
        writeln!(self.input, "{line}")
            .and_then(|()| self.input.flush())
            .context(|| format!("telling the emulator '{line}'"))
    }

    fn receive(&mut self, until: Instant) -> Result<Option<String>> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.replies.recv_timeout(left) {
                Ok(Reply::Line(line)) => return Ok(Some(line)),
                Ok(Reply::Stop(stop)) => {
                    self.stopped = Some(stop);
                    return Ok(None);
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.check()?;
                    return Err(Error::failure("the emulator's debugger does not answer"));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.child.wait();
                    let status = status.context(|| "watching the emulator".into())?;
                    return Err(self.ended(&status.to_string()));
                }
            }
        }
    }

    fn ended(&mut self, status: &str) -> Error {
        Error::failure(format!(
            "the emulator ended with {status}{}{}",
            self.folder.errors(),
            self.last_line()
        ))
    }

    fn last_line(&mut self) -> String {
        match self.console.lines().last() {
            Some(line) => format!("; the last line on its console: {line}"),
            None => "; its console is empty".into(),
        }
    }
}

impl Drop for Machine {
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
fn separate(output: impl Read, mut console: impl Write, replies: &Sender<Reply>) {
    let mut stopped = true; // the banner is not the machine's
    let mut output = BufReader::new(output);
    let mut bytes = Vec::new();
    while output
        .read_until(b'\n', &mut bytes)
        .is_ok_and(|count| count > 0)
    {
        let line = String::from_utf8_lossy(&bytes).trim_end().to_string();
        let sent = if let Some(ticks) = line.strip_prefix("Next at t=") {
            stopped = true;
            let ticks = ticks.parse().unwrap_or(0);
            replies.send(Reply::Stop(Stop { ticks })).is_ok()
        } else if line.starts_with("<bochs:") {
            // The prompt with the command's echo.
            stopped = stopped && !line.ends_with("> c");
            true
        } else if stopped {
            replies.send(Reply::Line(line)).is_ok()
        } else {
            console.write_all(&bytes).is_ok()
        };
        if !sent {
            break;
        }
        bytes.clear();
    }
}

/// The words of a line `0x… <bogus+ 0>: 0x… 0x…`.
fn examined(line: &str) -> impl Iterator<Item = u64> + '_ {
    let values = line.split_once(">:").map_or("", |(_, values)| values);
    values
        .split_whitespace()
        .filter_map(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok())
}

/// The files of one machine.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn create() -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("tern-bochs-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).context(|| format!("creating {}", path.display()))?;
        Ok(Self { path })
    }

    fn file(&self, name: &str) -> Result<File> {
        File::create(self.path.join(name)).context(|| format!("writing to {}", self.path.display()))
    }

    /// Writes what the emulator reads, and returns the memory image.
    fn fill(&self, options: &Options) -> Result<Vec<u8>> {
        let read = |path: &PathBuf| {
            std::fs::read(path)
                .context(|| format!("reading {} (cargo xtask build makes it)", path.display()))
        };
        let module = options.module.as_ref().map(read).transpose()?;
        let images = image::build(&Parts {
            rom: &read(&options.rom)?,
            hypervisor: &read(&options.hypervisor)?,
            module: module.as_deref(),
            command_line: &options.command_line,
            cores: options.cores,
            memory: options.memory << 20,
        })?;
        let configuration = Configuration {
            model: options.model,
            cores: options.cores,
            memory: options.memory,
            folder: &self.path,
            image_start: image::IMAGE_START,
        };
        for (name, bytes) in [
            ("memory", &images.memory[..]),
            ("rom", &images.rom[..]),
            ("vga-rom", &[0; 512]), // it insists on one
            ("bochsrc", configuration.text()?.as_bytes()),
        ] {
            let written = self.file(name)?.write_all(bytes);
            written.context(|| format!("writing to {}", self.path.display()))?;
        }
        Ok(images.memory)
    }

    /// What the emulator complained of last, as the end of a sentence.
    fn errors(&self) -> String {
        let log = std::fs::read_to_string(self.path.join("log")).unwrap_or_default();
        let said = std::fs::read_to_string(self.path.join("errors")).unwrap_or_default();
        let complaint = |line: &&str| line.contains(">>PANIC<<") || line.contains("p[");
        let lines = log.lines().chain(said.lines());
        lines
            .filter(complaint)
            .last()
            .map_or(String::new(), |line| format!(": {line}"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing more can be done about files that cannot be removed.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_lines_and_the_debuggers_are_kept_apart() {
        let output = "banner\nNext at t=0\n(0) jmp\n<bochs:1> c\ntern: hello\r\nNext at t=42\n\
                      (0) hlt\n<bochs:2> xp /2gx 0x8\n0x8 <bogus+ 0>:\t0x1\t0x00000002\n";
        let mut console = Vec::new();
        let (sender, replies) = channel();
        separate(output.as_bytes(), &mut console, &sender);
        drop(sender);
        assert_eq!(console, b"tern: hello\r\n");
        let replies: Vec<_> = replies.iter().collect();
        let stops: Vec<_> = replies
            .iter()
            .filter_map(|reply| match reply {
                Reply::Stop(stop) => Some(stop.ticks),
                Reply::Line(_) => None,
            })
            .collect();
        assert_eq!(stops, [0, 42]);
        let Some(Reply::Line(last)) = replies.last() else {
            panic!("no answer");
        };
        assert_eq!(examined(last).collect::<Vec<_>>(), [1, 2]);
    }
}
