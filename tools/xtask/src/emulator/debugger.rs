//! QEMU's debugger stub (GDB remote protocol): writes to physical memory and
//! registers from outside the machine, coherent with translated code.
//!
//! Protocol: the manual of GDB, "Remote Serial Protocol"; QEMU's documentation of
//! `Qqemu.PhyMemMode`.
use crate::error::{Context, Error, Result};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use tern_units::HostPhysical;

/// How long the stub may take to answer.
const ANSWER_BOUND: Duration = Duration::from_secs(10);

/// First character of a packet that says why the machine has stopped.
const STOPPED: char = 'T';

/// A core's registers, as far as fault injection needs them. They are those of the
/// guest while the core is in one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// RAX, RBX, RCX, RDX, RSI, RDI, RBP, RSP, R8 to R15.
    pub general: [u64; 16],
    /// The instruction pointer.
    pub instruction: u64,
    /// Code segment: its low two bits are the privilege level.
    pub code_segment: u32,
    /// CR3: the page-table root.
    pub root: u64,
}

impl Registers {
    /// Names of [`Registers::general`].
    pub const NAMES: [&str; 16] = [
        "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12",
        "r13", "r14", "r15",
    ];
    /// The number of the stack pointer among them.
    pub const STACK: usize = 7;
    /// The stub's number of the instruction pointer, after those.
    pub const INSTRUCTION: usize = 16;

    /// The stub's layout: general registers and RIP in 8 bytes each, EFLAGS and six
    /// segments in 4 each, FS and GS bases, CR0, CR2, CR3 after them in 8 each.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let mut general = [0; 16];
        for (number, register) in general.iter_mut().enumerate() {
            *register = word(8 * number)?;
        }
        let code_segment = word(17 * 8 + 4)? as u32;
        Some(Self {
            general,
            instruction: word(8 * Self::INSTRUCTION)?,
            code_segment,
            root: word(17 * 8 + 7 * 4 + 5 * 8)?,
        })
    }
}

/// A connection to the stub. While it lasts, the machine and its time stand still.
#[derive(Debug)]
pub struct Debugger {
    stream: UnixStream,
}

impl Debugger {
    /// Connects to the stub at `socket`, which stops the machine, and selects
    /// physical addresses for all reads and writes of memory.
    ///
    /// # Errors
    /// If the stub does not answer as expected.
    pub fn attach(socket: &Path) -> Result<Self> {
        let doing = || {
            format!(
                "connecting to the emulator's debugger stub {}",
                socket.display()
            )
        };
        let stream = UnixStream::connect(socket).context(doing)?;
        stream.set_read_timeout(Some(ANSWER_BOUND)).context(doing)?;
        let mut debugger = Self { stream };
        // The stub gives single registers only to who has asked for their description.
        debugger.execute("qXfer:features:read:target.xml:0,ffb")?;
        debugger.expect_ok("Qqemu.PhyMemMode:1")?;
        Ok(debugger)
    }

    /// Reads `count` bytes of physical memory.
    ///
    /// # Errors
    /// If the stub refuses.
    pub fn read(&mut self, address: HostPhysical, count: usize) -> Result<Vec<u8>> {
        let answer = self.execute(&format!("m{:x},{count:x}", address.as_u64()))?;
        from_hex(&answer)
            .filter(|bytes| bytes.len() == count)
            .ok_or_else(|| {
                Error::failure(format!("debugger stub: no memory at {address}: {answer}"))
            })
    }

    /// Writes physical memory.
    ///
    /// # Errors
    /// If the stub refuses.
    pub fn write(&mut self, address: HostPhysical, bytes: &[u8]) -> Result<()> {
        self.expect_ok(&format!(
            "M{:x},{:x}:{}",
            address.as_u64(),
            bytes.len(),
            to_hex(bytes)
        ))
    }

    /// The registers of core `core` (from 0).
    ///
    /// # Errors
    /// If the stub refuses, or has no such core.
    pub fn registers(&mut self, core: u32) -> Result<Registers> {
        self.select(core)?;
        let answer = self.execute("g")?;
        from_hex(&answer)
            .and_then(|bytes| Registers::from_bytes(&bytes))
            .ok_or_else(|| Error::failure(format!("debugger stub: no registers: {answer:?}")))
    }

    /// Sets general register `number`, as [`Registers::general`] counts, or
    /// [`Registers::INSTRUCTION`], of a core.
    ///
    /// # Errors
    /// If the stub refuses, or has no such core.
    pub fn set_register(&mut self, core: u32, number: usize, value: u64) -> Result<()> {
        self.select(core)?;
        self.expect_ok(&format!("P{number:x}={}", to_hex(&value.to_le_bytes())))
    }

    /// Sets or removes a breakpoint at a virtual address of whatever runs.
    ///
    /// # Errors
    /// If the stub refuses.
    pub fn breakpoint(&mut self, address: u64, set: bool) -> Result<()> {
        let verb = if set { 'Z' } else { 'z' };
        self.expect_ok(&format!("{verb}0,{address:x},1"))
    }

    /// Lets the machine go on until a core reaches a breakpoint, and returns that core.
    ///
    /// # Errors
    /// If none does within some seconds of the host's time.
    pub fn run_to_breakpoint(&mut self) -> Result<u32> {
        self.send("c")?;
        self.stopped_core()
    }

    /// Executes one instruction of a core; the others stand still.
    ///
    /// # Errors
    /// If the stub does not answer.
    pub fn step(&mut self, core: u32) -> Result<()> {
        self.send(&format!("vCont;s:{:x}", core + 1))?;
        self.stopped_core().map(drop)
    }

    /// The core that the next packet `T..thread:N;` names.
    fn stopped_core(&mut self) -> Result<u32> {
        let doing = || "debugger stub: waiting for a core to stop".to_string();
        loop {
            let packet = self.answer().context(doing)?;
            let Some((_, thread)) = packet.split_once("thread:") else {
                continue;
            };
            let digits = thread
                .trim_end_matches(';')
                .rsplit('.')
                .next()
                .unwrap_or(thread);
            let number = u32::from_str_radix(digits, 16).context(doing)?;
            return Ok(number.saturating_sub(1));
        }
    }

    /// Lets the machine go on, and closes the connection.
    ///
    /// # Errors
    /// If the stub does not answer.
    pub fn detach(mut self) -> Result<()> {
        self.expect_ok("D;1").or_else(|_| self.expect_ok("D"))
    }

    /// Threads of the stub are cores, counted from 1.
    fn select(&mut self, core: u32) -> Result<()> {
        self.expect_ok(&format!("Hg{:x}", core + 1))
    }

    fn expect_ok(&mut self, request: &str) -> Result<()> {
        match self.execute(request)?.as_str() {
            "OK" => Ok(()),
            answer => Err(Error::failure(format!(
                "debugger stub: {request}: {answer:?}"
            ))),
        }
    }

    fn execute(&mut self, request: &str) -> Result<String> {
        self.send(request)?;
        loop {
            // The stub says on its own that the machine has stopped, before or after the
            // first answer.
            let answer = self
                .answer()
                .context(|| format!("debugger stub: {request}"))?;
            if !answer.starts_with(STOPPED) {
                return Ok(answer);
            }
        }
    }

    fn send(&mut self, request: &str) -> Result<()> {
        let checksum = request.bytes().fold(0_u8, u8::wrapping_add);
        write!(self.stream, "${request}#{checksum:02x}").context(|| format!("debugger: {request}"))
    }

    /// The next packet's contents: `$…#xx`, acknowledged; acknowledgements skipped.
    fn answer(&mut self) -> std::io::Result<String> {
        while self.byte()? != b'$' {}
        let mut contents = Vec::new();
        loop {
            match self.byte()? {
                b'#' => break,
                byte => contents.push(byte),
            }
        }
        self.byte()?;
        self.byte()?;
        self.stream.write_all(b"+")?;
        Ok(String::from_utf8_lossy(&contents).into_owned())
    }

    fn byte(&mut self) -> std::io::Result<u8> {
        let mut byte = [0];
        self.stream.read_exact(&mut byte)?;
        Ok(byte[0])
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    let digits = (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16));
    digits.collect::<std::result::Result<_, _>>().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_text_is_read_back_and_anything_else_refused() {
        assert_eq!(
            from_hex(&to_hex(&[0, 0x9f, 0xff])),
            Some(vec![0, 0x9f, 0xff])
        );
        assert_eq!(from_hex("E01"), None);
        assert_eq!(from_hex("zz"), None);
    }
}
