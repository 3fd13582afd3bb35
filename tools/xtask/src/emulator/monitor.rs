//! QEMU's monitor (QMP): stop, continue, raise a pin, quit.
use crate::error::{Context, Error, Result};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How long the monitor may take to answer.
const ANSWER_BOUND: Duration = Duration::from_secs(10);

/// A connection to the monitor.
#[derive(Debug)]
pub struct Monitor {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
}

impl Monitor {
    /// Greets the monitor at the other end of `stream`.
    ///
    /// # Errors
    /// If it does not answer as a monitor.
    pub fn new(stream: UnixStream) -> Result<Self> {
        let doing = || "connecting to the emulator's monitor".to_string();
        stream.set_read_timeout(Some(ANSWER_BOUND)).context(doing)?;
        let writer = stream.try_clone().context(doing)?;
        let mut monitor = Self {
            reader: BufReader::new(stream),
            writer,
        };
        monitor.receive()?;
        monitor.execute("qmp_capabilities", json!({}))?;
        Ok(monitor)
    }

    /// Executes a command and returns its answer.
    ///
    /// # Errors
    /// If the monitor refuses, or does not answer in time.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let request = json!({ "execute": command, "arguments": arguments });
        writeln!(self.writer, "{request}").context(|| format!("monitor command {command}"))?;
        loop {
            let answer = self.receive()?;
            if let Some(result) = answer.get("return") {
                return Ok(result.clone());
            }
            if let Some(error) = answer.get("error") {
                return Err(Error::failure(format!(
                    "monitor command {command}: {}",
                    error["desc"]
                )));
            }
        }
    }

    /// Stops all cores and the machine's time.
    ///
    /// # Errors
    /// As [`Monitor::execute`].
    pub fn stop(&mut self) -> Result<()> {
        self.execute("stop", json!({})).map(drop)
    }

    /// Lets the machine go on.
    ///
    /// # Errors
    /// As [`Monitor::execute`].
    pub fn resume(&mut self) -> Result<()> {
        self.execute("cont", json!({})).map(drop)
    }

    /// Raises the pin that firmware makes the source of non-maskable interrupts, on every core.
    ///
    /// # Errors
    /// As [`Monitor::execute`].
    pub fn raise_nmi_pins(&mut self) -> Result<()> {
        self.execute("inject-nmi", json!({})).map(drop)
    }

    /// Ends the emulator.
    ///
    /// # Errors
    /// As [`Monitor::execute`].
    pub fn quit(&mut self) -> Result<()> {
        self.execute("quit", json!({})).map(drop)
    }

    fn receive(&mut self) -> Result<Value> {
        let mut line = String::new();
        let count = self
            .reader
            .read_line(&mut line)
            .context(|| "waiting for the monitor".into())?;
        if count == 0 {
            return Err(Error::failure("the emulator closed its monitor"));
        }
        serde_json::from_str(&line).context(|| "reading the monitor's answer".into())
    }
}
