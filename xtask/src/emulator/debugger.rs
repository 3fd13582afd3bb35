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
        debugger.execute("?")?;
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

    /// The general registers of core `core` (from 0) in the stub's order: RAX, RBX,
    /// RCX, RDX, RSI, RDI, RBP, RSP, R8 to R15, RIP.
    ///
    /// # Errors
    /// If the stub refuses, or has no such core.
    pub fn registers(&mut self, core: u32) -> Result<[u64; 17]> {
        self.select(core)?;
        let answer = self.execute("g")?;
        let bytes = from_hex(answer.get(..17 * 16).unwrap_or_default())
            .ok_or_else(|| Error::failure("debugger stub: no registers"))?;
        let mut registers = [0; 17];
        for (register, word) in registers.iter_mut().zip(bytes.chunks_exact(8)) {
            let mut value = [0; 8];
            value.copy_from_slice(word);
            *register = u64::from_le_bytes(value);
        }
        Ok(registers)
    }

    /// Sets register `number`, in the order of [`Debugger::registers`], of a core.
    ///
    /// # Errors
    /// If the stub refuses, or has no such core.
    pub fn set_register(&mut self, core: u32, number: usize, value: u64) -> Result<()> {
        self.select(core)?;
        self.expect_ok(&format!("P{number:x}={}", to_hex(&value.to_le_bytes())))
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
        self.expect_ok(&format!("Hgp1.{:x}", core + 1))
            .or_else(|_| self.expect_ok(&format!("Hg{:x}", core + 1)))
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
        let checksum = request.bytes().fold(0_u8, u8::wrapping_add);
        write!(self.stream, "${request}#{checksum:02x}")
            .context(|| format!("debugger: {request}"))?;
        self.answer()
            .context(|| format!("debugger stub: {request}"))
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
