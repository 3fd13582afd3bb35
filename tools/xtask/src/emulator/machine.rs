//! One emulated machine: its parts, its start, and that it always ends.
use super::files::Folder;
use super::options::{Options, command};
use super::{Console, Debugger, Memory, Monitor};
use crate::error::{Context, Error, Result};
use std::fmt;
use std::fs::File;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long the emulator may take to connect to its sockets.
const START_BOUND: Duration = Duration::from_secs(20);

/// Priority of the emulator, on the scale of nice(1).
const PRIORITY: i32 = -10;

/// A running emulator. Dropping it ends the emulator and removes its files.
pub struct Machine {
    child: Child,
    folder: Folder,
    deadline: Instant,
    bound: Duration,
    /// What the machine prints.
    pub console: Console,
    /// The emulator's monitor.
    pub monitor: Monitor,
    /// The machine's memory.
    pub memory: Memory,
    /// The other end of the machine's second serial port.
    pub plant: Option<UnixStream>,
}

impl Machine {
    /// Starts the emulator and connects to all its parts.
    ///
    /// # Errors
    /// If it cannot be started, with what it said.
    pub fn start(options: &Options) -> Result<Self> {
        let folder = Folder::create(options.memory)?;
        let listen = |name: &str| {
            let path = folder.path.join(name);
            UnixListener::bind(&path).context(|| format!("binding {}", path.display()))
        };
        let monitor = listen("monitor")?;
        let plant = options.plant.then(|| listen("plant")).transpose()?;
        let mut command = command(options, &folder)?;
        let said = File::create(folder.path.join("errors"))
            .context(|| format!("writing to {}", folder.path.display()))?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(said);
        let follows_host = options.plant;
        // SAFETY: between fork and exec only async-signal-safe functions may be called;
        // prctl, setsid, setpriority and sched_setscheduler are plain system calls.
        unsafe {
            command.pre_exec(move || {
                // The emulator dies with the thread that started it, however that ends,
                // and takes no signals from the terminal: this process ends it.
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                libc::setsid();
                // Where idle time of the machine is the host's, waking late makes its
                // timers late. So it goes before everything else that the host does; who
                // may not ask for that gets a raised priority, or the usual one.
                if follows_host {
                    let realtime = libc::sched_param { sched_priority: 1 };
                    libc::setpriority(libc::PRIO_PROCESS, 0, PRIORITY);
                    libc::sched_setscheduler(0, libc::SCHED_RR, &raw const realtime);
                }
                Ok(())
            });
        }
        let child = command
            .spawn()
            .context(|| format!("starting {}", options.emulator.display()))?;
        // Where the scheduler groups processes by session, the group has a priority too.
        let group = format!("/proc/{}/autogroup", child.id());
        let _ = std::fs::write(group, PRIORITY.to_string());
        let mut starting = Starting {
            child: Some(child),
            folder: Some(folder),
        };
        let output = starting
            .child
            .as_mut()
            .and_then(|child| child.stdout.take());
        let output = output.ok_or_else(|| Error::failure("the emulator has no console"))?;
        let monitor = Monitor::new(starting.accept(&monitor)?)?;
        let plant = plant
            .map(|listener| starting.accept(&listener))
            .transpose()?;
        let memory = Memory::open(&starting.memory())?;
        let (child, folder) = starting.finish()?;
        Ok(Self {
            child,
            folder,
            deadline: Instant::now() + options.bound,
            bound: options.bound,
            console: Console::new(output),
            monitor,
            memory,
            plant,
        })
    }

    /// Stops the machine and connects to its debugger stub.
    ///
    /// # Errors
    /// As [`Debugger::attach`].
    pub fn debugger(&self) -> Result<Debugger> {
        Debugger::attach(&self.folder.path.join("debugger"))
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
            Some(status) => Err(Error::failure(format!(
                "the emulator ended with {status}{}{}",
                self.folder.errors(),
                self.last_line()
            ))),
        }
    }

    /// Waits for a console line with `text`, at most until the machine's time is up.
    ///
    /// # Errors
    /// If it does not come.
    pub fn wait_for(&mut self, text: &str) -> Result<String> {
        self.wait_for_any(&[text])
    }

    /// Waits for a console line with any of `texts`, at most until the machine's time is
    /// up.
    ///
    /// # Errors
    /// If none comes.
    pub fn wait_for_any(&mut self, texts: &[&str]) -> Result<String> {
        loop {
            if let Some(line) = self.console.wait_for_any(texts, Duration::from_millis(200)) {
                return Ok(line);
            }
            let waiting =
                |error| Error::failure(format!("waiting for '{}': {error}", texts.join("' or '")));
            self.check().map_err(waiting)?;
        }
    }

    /// Ends the emulator.
    ///
    /// # Errors
    /// If its end cannot be observed.
    pub fn quit(mut self) -> Result<ExitStatus> {
        // An emulator that does not obey is killed when `self` is dropped.
        if self.monitor.quit().is_err() {
            self.child.kill().context(|| "ending the emulator".into())?;
        }
        self.child
            .wait()
            .context(|| "waiting for the emulator's end".into())
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

impl fmt::Debug for Machine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "Machine({}, {})",
            self.child.id(),
            self.folder.path.display()
        )
    }
}

/// Kills and reaps; a process that has ended already is not an error.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// An emulator that is not connected yet.
struct Starting {
    child: Option<Child>,
    folder: Option<Folder>,
}

impl Starting {
    fn memory(&self) -> PathBuf {
        self.folder
            .as_ref()
            .map(|folder| folder.memory.clone())
            .unwrap_or_default()
    }

    fn accept(&mut self, listener: &UnixListener) -> Result<UnixStream> {
        let doing = || "waiting for the emulator to connect".to_string();
        listener.set_nonblocking(true).context(doing)?;
        let deadline = Instant::now() + START_BOUND;
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).context(doing)?;
                    return Ok(stream);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context(doing),
            }
            let ended = self
                .child
                .as_mut()
                .and_then(|child| child.try_wait().ok().flatten());
            if let Some(status) = ended {
                let said = self.folder.as_ref().map(Folder::errors).unwrap_or_default();
                return Err(Error::failure(format!(
                    "the emulator ended with {status}{said}"
                )));
            }
            if Instant::now() > deadline {
                return Err(Error::failure(
                    "the emulator did not connect to its sockets",
                ));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn finish(mut self) -> Result<(Child, Folder)> {
        self.child
            .take()
            .zip(self.folder.take())
            .ok_or_else(|| Error::failure("the emulator was started twice"))
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            end(child);
        }
    }
}
