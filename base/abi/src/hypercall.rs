//! Hypercalls: what a sandbox kernel may ask of the hypervisor.
//!
//! Convention: the number in RAX, arguments in RDI, RSI, RDX; the result in RAX,
//! zero or a value on success, a [`HypercallError`] as a negative number otherwise.
//! No other register changes. From ring 3 the instruction raises #UD.

/// Number of a hypercall, as passed in RAX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Hypercall {
    /// Does nothing and returns zero: the smallest round trip, for measuring.
    Null = 0,
    /// Writes RSI bytes (at most [`CONSOLE_WRITE_MAX`]) at guest-physical RDI to the
    /// machine's console, prefixed by the sandbox's name at the start of each line. Never waits:
    /// lines go into a ring, from which one call moves on what the serial line takes at once, and
    /// lines without room are dropped and counted. Returns how many bytes of the sandbox's are
    /// left in the ring: [`Hypercall::ConsoleDrain`] moves them on.
    ConsoleWrite = 1,
    /// Reads local APIC register RDI (an x2APIC register number, such as 0x39 for the
    /// timer's current count). Only where the sandbox does not own its APIC.
    ApicRead = 2,
    /// Writes the low 32 bits of RSI to local APIC register RDI: end of interrupt,
    /// spurious vector, timer entry, initial count and divider, task priority. Only
    /// where the sandbox does not own its APIC.
    ApicWrite = 3,
    /// Rings the doorbell of channel RDI: raises [`crate::layout::DOORBELL_VECTOR`] in its
    /// readers. The caller must be its writer, the description must give it a doorbell, and
    /// since the last ring that was not refused the doorbell's interval must have passed.
    Doorbell = 4,
    /// Stops the calling sandbox for good; RDI is a reason code for the record.
    Stop = 5,
    /// Ends the run of the whole machine with status RDI. Only for a sandbox that the
    /// system description gives `may_shut_down`.
    ShutDown = 6,
    /// Moves on what the serial line takes at once of what waits for it, whichever sandbox's it
    /// is; never waits. Returns how many bytes of the caller's are left. More often than once in
    /// [`CONSOLE_PACE_NANOS`] is of no use.
    ConsoleDrain = 7,
    /// Seals what the caller has written into the open half of channel RDI, as number RSI, and
    /// opens the other half: see [`crate::seal`]. The caller must be the channel's writer and the
    /// description must seal it. Numbers only grow, and none is taken before its time: number n
    /// from n periods of the channel after the time epoch on.
    Seal = 8,
    /// Closes number RSI of the channels that RDI names, by a bit for each of those that the caller
    /// may close, in the order of the description: what is not sealed as that number then never is,
    /// see [`crate::seal`]. A channel may be closed by its readers where the description gives it a
    /// time to close, and each number from that time after its begin on. Where a number as high has
    /// been sealed or closed, it stays so. If one channel is refused, none is closed.
    Close = 9,
    /// Takes device RDI, which several sandboxes share, from whoever of them has it, as the owner
    /// from epoch RSI on. More than half of them must have sealed, as that number, that the caller is
    /// the owner: see [`crate::ownership`]. Refused with [`HypercallError::NotYet`] until the sandbox
    /// that had it has been made to leave it.
    Take = 10,
}

/// The most bytes one [`Hypercall::ConsoleWrite`] takes.
pub const CONSOLE_WRITE_MAX: u64 = 1024;
/// How long the serial line needs for what it takes at once: 16 bytes of ten bits each at 115,200
/// baud, rounded up.
pub const CONSOLE_PACE_NANOS: u64 = 1_400_000;

/// Why a hypercall was refused, as the two's complement in RAX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i64)]
pub enum HypercallError {
    /// No hypercall has that number.
    UnknownNumber = -1,
    /// An argument is out of range.
    BadArgument = -2,
    /// The system description does not permit it to this sandbox.
    NotPermitted = -3,
    /// It comes sooner after the last one than the system description permits.
    TooSoon = -4,
    /// Another core has its part still to do: the call is to be made again.
    NotYet = -5,
}

impl Hypercall {
    /// How many there are: the first number that is none.
    pub const COUNT: u64 = Self::Take as u64 + 1;
}

impl TryFrom<u64> for Hypercall {
    type Error = HypercallError;

    fn try_from(number: u64) -> Result<Self, HypercallError> {
        Ok(match number {
            0 => Self::Null,
            1 => Self::ConsoleWrite,
            2 => Self::ApicRead,
            3 => Self::ApicWrite,
            4 => Self::Doorbell,
            5 => Self::Stop,
            6 => Self::ShutDown,
            7 => Self::ConsoleDrain,
            8 => Self::Seal,
            9 => Self::Close,
            10 => Self::Take,
            _ => return Err(HypercallError::UnknownNumber),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_back_as_its_call_and_no_other_is_one() {
        for number in 0..=u64::from(u8::MAX) {
            match Hypercall::try_from(number) {
                Ok(call) => assert_eq!(call as u64, number),
                Err(error) => {
                    assert_eq!(error, HypercallError::UnknownNumber);
                    assert!(number >= Hypercall::COUNT);
                }
            }
        }
    }
}
