//! Where a core stands before each instruction, as Bochs's debugger tells it: after a step
//! the tick, then the registers, a line each.

/// Where a core stands before an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The instruction's address, as the running code sees it.
    pub address: u64,
    /// Whether interrupts are off.
    pub masked: bool,
}

/// Puts the registers' lines together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reader {
    address: u64,
}

impl Reader {
    const INTERRUPTS: u64 = 1 << 9;

    /// Takes a line; the flags are the last that matters.
    pub fn line(&mut self, line: &str) -> Option<Standing> {
        if let Some(digits) = line.strip_prefix("rip: ") {
            self.address = hexadecimal(digits)?;
            return None;
        }
        let flags = hexadecimal(line.strip_prefix("eflags 0x")?.split(':').next()?)?;
        Some(Standing {
            address: self.address,
            masked: flags & Self::INTERRUPTS == 0,
        })
    }
}

/// A number such as `ffffffff_8020c262`.
fn hexadecimal(digits: &str) -> Option<u64> {
    u64::from_str_radix(&digits.trim().replace('_', ""), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_stands_at_an_address_with_interrupts_on_or_off() {
        let mut reader = Reader::default();
        for (flags, masked) in [("0x00000046", true), ("0x00000246", false)] {
            for line in ["CPU0:", "rax: 00000000_00000046", "rip: ffffffff_8020c262"] {
                assert_eq!(reader.line(line), None, "{line}");
            }
            let standing = Standing {
                address: 0xffff_ffff_8020_c262,
                masked,
            };
            let line = format!("eflags {flags}: id vip vif ac vm rf nt IOPL=0");
            assert_eq!(reader.line(&line), Some(standing));
        }
    }
}
