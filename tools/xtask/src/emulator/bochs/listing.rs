//! What Bochs's debugger tells of its cores at each of many stops, and how it is asked.

/// What is asked at each stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Nothing.
    Nothing,
    /// Whether interrupts are off, of each core.
    Flags,
    /// That and the address, of each core.
    Places,
}

impl Ask {
    /// The debugger's commands for `stops` stops, at least one, `every` ticks apart, of so
    /// many cores.
    #[must_use]
    pub fn commands(self, stops: u64, every: u32, cores: u8) -> String {
        let mut round = match cores {
            1 => format!("s {every}\n"),
            _ => format!("s all {every}\n"),
        };
        let question = match self {
            Self::Nothing => return round.repeat(stops as usize),
            Self::Flags => "info eflags\n",
            Self::Places => "r\n",
        };
        for core in 0..cores {
            if cores > 1 {
                round += &format!("set $cpu = {core}\n");
            }
            round += question;
        }
        round.repeat(stops as usize)
    }
}

/// Where a core stands before an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The instruction's address, as the running code sees it, if that was asked.
    pub address: Option<u64>,
    /// Whether interrupts are off.
    pub masked: bool,
}

/// Puts a core's lines together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reader {
    address: Option<u64>,
}

impl Reader {
    /// Takes a line; the flags are the last that matters: in lower case those that are off.
    pub fn line(&mut self, line: &str) -> Option<Standing> {
        if let Some(digits) = line.strip_prefix("rip: ") {
            let digits = digits.trim().replace('_', "");
            self.address = u64::from_str_radix(&digits, 16).ok();
            return None;
        }
        let (_, flags) = line.split_once(" IOPL=")?;
        Some(Standing {
            address: self.address.take(),
            masked: flags.contains(" if "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_stands_at_an_address_with_interrupts_on_or_off() {
        let mut reader = Reader::default();
        for (flag, masked) in [("if", true), ("IF", false)] {
            let flags = format!("id vip vif ac vm rf nt IOPL=0 of df {flag} tf sf ZF af PF cf");
            for line in ["CPU0:", "rax: 00000000_00000046", "rip: ffffffff_8020c262"] {
                assert_eq!(reader.line(line), None, "{line}");
            }
            let address = Some(0xffff_ffff_8020_c262);
            let line = format!("eflags 0x00000046: {flags}");
            assert_eq!(reader.line(&line), Some(Standing { address, masked }));
            let address = None;
            assert_eq!(reader.line(&flags), Some(Standing { address, masked }));
        }
    }

    #[test]
    fn each_core_is_asked_at_each_stop() {
        assert_eq!(Ask::Nothing.commands(2, 50, 4), "s all 50\ns all 50\n");
        assert_eq!(Ask::Places.commands(1, 1, 1), "s 1\nr\n");
        let two = "s all 50\nset $cpu = 0\ninfo eflags\nset $cpu = 1\ninfo eflags\n";
        assert_eq!(Ask::Flags.commands(2, 50, 2), two.repeat(2));
    }
}
