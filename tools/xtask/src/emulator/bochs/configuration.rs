//! The configuration file of Bochs 2.7 (`man bochsrc`) for a machine whose time depends
//! on nothing but executed instructions.
use crate::error::{Error, Result};
use std::fmt::Write;
use std::path::Path;

/// A processor that Bochs models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// Tiger Lake: VT-x, x2APIC, TSC deadline.
    Intel,
    /// Ryzen: AMD-V, no x2APIC.
    Amd,
}

impl Model {
    /// The one that a user calls so.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Intel, Self::Amd]
            .into_iter()
            .find(|model| model.platform() == name)
    }

    /// What a user calls it, and its cost table.
    #[must_use]
    pub const fn platform(self) -> &'static str {
        match self {
            Self::Intel => "bochs-intel",
            Self::Amd => "bochs-amd",
        }
    }

    /// Its name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Intel => "tigerlake",
            Self::Amd => "ryzen",
        }
    }
}

/// Ticks of the machine's time in a simulated second: one instruction is one tick.
pub const TICKS_PER_SECOND: u64 = 100_000_000;

/// What the configuration names.
#[derive(Clone, Copy, Debug)]
pub struct Configuration<'a> {
    /// The processor, by its name in Bochs.
    pub processor: &'a str,
    /// Its features, where its name does not say them.
    pub features: Option<&'a str>,
    /// Number of cores.
    pub cores: u8,
    /// MiB of memory.
    pub memory: u64,
    /// The folder with the files `memory`, `rom`, `vga-rom`; `log` is written there.
    pub folder: &'a Path,
    /// Address of the file `memory`.
    pub image_start: u64,
    /// Whether the first serial port is there, and takes bytes at the speed of a real line.
    pub first_port: bool,
    /// The file that the second serial port reads and writes, if any.
    pub second_port: Option<&'a Path>,
}

impl Configuration<'_> {
    /// The file's text.
    ///
    /// # Errors
    /// If the folder's name is one that the file's syntax cannot hold.
    pub fn text(&self) -> Result<String> {
        let folder = self
            .folder
            .to_str()
            .filter(|text| !text.contains([',', '"', ' ', '\n']))
            .ok_or_else(|| {
                Error::input(format!(
                    "{}: Bochs takes no such path",
                    self.folder.display()
                ))
            })?;
        let mut text = String::new();
        let mut line = |line: std::fmt::Arguments| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{line}");
        };
        line(format_args!(
            "cpu: model={}, count={}, ips={TICKS_PER_SECOND}, quantum=16, reset_on_triple_fault=0",
            self.processor, self.cores
        ));
        if let Some(features) = self.features {
            line(format_args!("cpuid: {features}"));
        }
        line(format_args!("memory: guest={0}, host={0}", self.memory));
        line(format_args!("romimage: file={folder}/rom"));
        line(format_args!("vgaromimage: file={folder}/vga-rom"));
        line(format_args!(
            "optramimage1: file={folder}/memory, address={:#x}",
            self.image_start
        ));
        // Nothing follows the host's clock: not the timers, not the date, not the screen.
        line(format_args!("clock: sync=none, time0=946684800"));
        line(format_args!(
            "vga: extension=none, update_freq=1, realtime=0"
        ));
        line(format_args!("display_library: term"));
        line(format_args!("port_e9_hack: enabled=1"));
        line(format_args!("magic_break: enabled=1"));
        line(format_args!(
            "plugin_ctrl: unmapped=1, biosdev=0, speaker=0, extfpuirq=0, parallel=0, gameport=0, iodebug=0"
        ));
        // The console is read from port 0xE9; who talks to a serial port is not heard, unless
        // there is a file in the place of the other end.
        match self.first_port {
            false => line(format_args!("com1: enabled=0")),
            true => line(format_args!("com1: enabled=1, mode=null")),
        }
        match self.second_port {
            None => line(format_args!("com2: enabled=1, mode=null")),
            Some(file) => line(format_args!(
                "com2: enabled=1, mode=term, dev={}",
                file.display()
            )),
        }
        for number in 0..4 {
            line(format_args!("ata{number}: enabled=0"));
        }
        line(format_args!("log: {folder}/log"));
        line(format_args!("panic: action=fatal"));
        line(format_args!("error: action=report"));
        line(format_args!("info: action=report"));
        line(format_args!("debug: action=ignore"));
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(folder: &str) -> Result<String> {
        Configuration {
            processor: Model::Amd.name(),
            features: None,
            cores: 4,
            memory: 128,
            folder: Path::new(folder),
            image_start: 0x10_0000,
            first_port: false,
            second_port: None,
        }
        .text()
    }

    #[test]
    fn time_is_instructions_on_every_core() {
        let text = configuration("/tmp/tern-1").unwrap();
        for line in [
            "cpu: model=ryzen, count=4, ips=100000000, quantum=16, reset_on_triple_fault=0",
            "clock: sync=none, time0=946684800",
            "optramimage1: file=/tmp/tern-1/memory, address=0x100000",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}");
        }
    }

    #[test]
    fn a_path_that_the_syntax_cannot_hold_is_refused() {
        assert!(configuration("/tmp/a,b").is_err());
        assert!(configuration("/tmp/a b").is_err());
    }
}
