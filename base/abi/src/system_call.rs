//! System calls: what a program may ask of its sandbox kernel, and the pages they share.
//!
//! Convention: SYSCALL with the number in RAX, arguments in RDI and RSI; the result in
//! RAX; RCX and R11 are clobbered. At its start a program has RSP at the top of its
//! stack (16-byte aligned, less 8), RDI holding the argument of the system description
//! (zero by default), and all other registers zero.

/// Number of a system call, as passed in RAX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum SystemCall {
    /// Ends the job: commits the outputs and returns at the next release, with the
    /// epoch in RAX and the input page frozen for it.
    JobDone = 0,
    /// Writes RSI bytes (at most [`LOG_MAX`]) at RDI to the console. Refused to replicas
    /// of a voted program, whose only output is the output page.
    Log = 1,
    /// Ends the program for good; RDI is its status.
    Exit = 2,
    /// Does nothing: the smallest round trip, for measuring.
    Null = 3,
    /// Gives way to the other runnable threads of its server: they run first, until
    /// they give way or end their jobs. The analysis assumes that nobody does.
    GiveWay = 4,
}

/// The most bytes one [`SystemCall::Log`] takes.
pub const LOG_MAX: u64 = 256;

/// Why a system call was refused, as the two's complement in RAX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i64)]
pub enum SystemCallError {
    /// No system call has that number.
    UnknownNumber = -1,
    /// An argument is out of range, or an address is not the program's.
    BadArgument = -2,
    /// Not for this kind of program.
    NotPermitted = -3,
}

/// The most words of input that a release carries, and of output that a job releases.
pub const MESSAGE_WORDS: usize = 16;

/// Word offsets in the input page.
pub mod input {
    /// The epoch: the number of this release, from zero.
    pub const EPOCH: usize = 0;
    /// The release time, nanoseconds since the time epoch.
    pub const RELEASE_TIME: usize = 1;
    /// One if the sample is the one asked for, zero if it came late and the last one stands.
    pub const FRESH: usize = 2;
    /// Number of the sample that the payload holds; zero before the first.
    pub const SAMPLE: usize = 3;
    /// A bit for each replica whose tag of the output before the sample was bad.
    pub const BAD_TAGS: usize = 4;
    /// What the device asks with the sample; zero of one that asks nothing.
    pub const CHALLENGE: usize = 5;
    /// One if the output of the command that the sample answers was taken.
    pub const TAKEN: usize = 6;
    /// First of [`super::MESSAGE_WORDS`] words of payload from the device.
    pub const PAYLOAD: usize = 8;
}

/// Word offsets in the output page.
pub mod output {
    /// First of [`super::MESSAGE_WORDS`] words of payload to the device.
    pub const PAYLOAD: usize = 0;
}

impl TryFrom<u64> for SystemCall {
    type Error = SystemCallError;

    fn try_from(number: u64) -> Result<Self, SystemCallError> {
        [
            Self::JobDone,
            Self::Log,
            Self::Exit,
            Self::Null,
            Self::GiveWay,
        ]
        .into_iter()
        .find(|call| *call as u64 == number)
        .ok_or(SystemCallError::UnknownNumber)
    }
}
