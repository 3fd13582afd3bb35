//! What can go wrong on the host, and the exit code that says of which kind it was.
use std::fmt;

/// A result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;

/// One line that says what was wrong, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Failure,
    Usage,
    Input,
}

impl Error {
    /// Something failed that the user did not write: a build, an emulator, a file system.
    pub fn failure(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Failure,
            message: message.into(),
        }
    }

    /// The command line was wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Usage,
            message: message.into(),
        }
    }

    /// A description, an image, or the machine was wrong.
    pub fn input(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Input,
            message: message.into(),
        }
    }

    /// The same with more said.
    #[must_use]
    pub fn with(mut self, more: &str) -> Self {
        self.message.push_str(more);
        self
    }

    /// The exit code: 1 for a failure, 64 for a wrong command line, 65 for wrong input.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self.kind {
            Kind::Failure => 1,
            Kind::Usage => 64,
            Kind::Input => 65,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Says what was being done when an operation of the host failed.
pub trait Context<T> {
    /// Turns the error into a failure: `doing: error`.
    ///
    /// # Errors
    /// The failure, if `self` is an error.
    fn context(self, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn context(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::failure(format!("{}: {error}", doing())))
    }
}
