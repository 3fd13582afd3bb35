//! The files of one machine in Bochs: what it reads, and what it leaves to explain its end.
use super::configuration::Configuration;
use super::image::{self, Parts};
use super::options::Options;
use crate::emulator::leftovers;
use crate::error::{Context, Result};
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// How the names of all begin.
const PREFIX: &str = "tern-bochs-";
const CONFIGURATION: &str = "bochsrc";
const COMMANDS: &str = "commands";
const ERRORS: &str = "errors";

/// The files of one machine.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) fn create() -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let temporary = std::env::temp_dir();
        if number == 0 {
            leftovers::remove(&temporary, PREFIX);
        }
        let path = temporary.join(format!("{PREFIX}{}-{number}", std::process::id()));
        std::fs::create_dir(&path).context(|| format!("creating {}", path.display()))?;
        Ok(Self { path })
    }

    fn file(&self, name: &str) -> Result<File> {
        File::create(self.path.join(name)).context(|| format!("writing to {}", self.path.display()))
    }

    /// The file in which the emulator is told what to be.
    pub(super) fn configuration(&self) -> PathBuf {
        self.path.join(CONFIGURATION)
    }

    /// Writes commands for the debugger, and returns where.
    pub(super) fn commands(&self, commands: &str) -> Result<PathBuf> {
        let path = self.path.join(COMMANDS);
        // A new file: the debugger may not have come to the end of the last one.
        let _ = std::fs::remove_file(&path);
        let written = self.file(COMMANDS)?.write_all(commands.as_bytes());
        written.context(|| format!("writing to {}", self.path.display()))?;
        Ok(path)
    }

    /// Where its standard error goes.
    pub(super) fn errors_file(&self) -> Result<File> {
        self.file(ERRORS)
    }

    /// Writes what the emulator reads, and returns the memory image.
    pub(super) fn fill(&self, options: &Options) -> Result<Vec<u8>> {
        let read = |path: &PathBuf| {
            std::fs::read(path)
                .context(|| format!("reading {} (cargo xtask build makes it)", path.display()))
        };
        let images = image::build(&Parts {
            rom: &read(&options.rom)?,
            hypervisor: &read(&options.hypervisor)?,
            module: options.module.as_deref(),
            command_line: &options.command_line,
            cores: options.cores,
            memory: options.memory << 20,
            register: options.firmware_register,
        })?;
        let configuration = Configuration {
            processor: options.processor,
            features: options.features,
            cores: options.cores,
            memory: options.memory,
            folder: &self.path,
            image_start: image::IMAGE_START,
            first_port: options.first_port,
            second_port: options.second_port.as_deref(),
        };
        for (name, bytes) in [
            ("memory", &images.memory[..]),
            ("rom", &images.rom[..]),
            ("vga-rom", &[0; 512]), // it insists on one
            (CONFIGURATION, configuration.text()?.as_bytes()),
        ] {
            let written = self.file(name)?.write_all(bytes);
            written.context(|| format!("writing to {}", self.path.display()))?;
        }
        Ok(images.memory)
    }

    /// What the emulator has logged.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.path.join("log")).unwrap_or_default()
    }

    /// What the emulator complained of last, as the end of a sentence.
    pub(super) fn errors(&self) -> String {
        let said = std::fs::read_to_string(self.path.join(ERRORS)).unwrap_or_default();
        match last_words(&self.log(), &said) {
            Some(line) => format!(": {line}"),
            None => String::new(),
        }
    }
}

/// The last panic in what the emulator has logged or `said` on its standard error; without
/// one, the last line there that is more than information.
fn last_words<'a>(log: &'a str, said: &'a str) -> Option<&'a str> {
    let panic = |line: &&str| line.contains(">>PANIC<<") || line.contains("p[");
    let complaint = |line: &&str| {
        let told = line.contains("i[") || line.starts_with("Bochs connected to screen");
        !told && !line.trim().is_empty()
    };
    let mut lines = log.lines().chain(said.lines());
    lines
        .rfind(panic)
        .or_else(|| said.lines().rfind(complaint))
        .map(str::trim)
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
    fn the_emulators_last_words_are_its_panic_or_its_last_complaint() {
        let log =
            "000i[MEM0  ] allocated memory\n000p[MEM0  ] >>PANIC<< no ROM\n000i[SYS   ] bye\n";
        let start = "000i[      ] using log file x\n\nBochs connected to screen \"/dev/pts/0\"\n";
        let abort = "terminate called after\n  what():  std::bad_alloc\n";
        for (log, said, words) in [
            (log, abort, Some("000p[MEM0  ] >>PANIC<< no ROM")),
            (
                "000i[SYS   ] x\n",
                &format!("{start}{abort}"),
                Some("what():  std::bad_alloc"),
            ),
            ("", "cannot open x\n\n", Some("cannot open x")),
            ("000i[SYS   ] x\n", start, None),
        ] {
            assert_eq!(last_words(log, said), words, "{said}");
        }
    }
}
