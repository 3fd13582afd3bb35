//! The pseudo-terminal on which Bochs draws its screen. Where it gets none, it draws on its
//! standard output, between what its debugger says there, and nobody understands it.
use crate::error::{Error, Result};
use std::fs::OpenOptions;
use std::path::Path;

/// Where the host gives out pseudo-terminals; Bochs opens it by this name.
pub const MULTIPLEXER: &str = "/dev/ptmx";

/// Fails unless `multiplexer` gives a pseudo-terminal.
///
/// # Errors
/// See above; the error says what to do.
pub fn check(multiplexer: &Path) -> Result<()> {
    let opened = OpenOptions::new().read(true).write(true).open(multiplexer);
    opened.map(drop).map_err(|error| {
        Error::failure(format!(
            "Bochs draws its screen on a pseudo-terminal, and {} gives none: {error}; where \
             /dev/pts is not mounted (in a chroot or container), mount it: mount -t devpts \
             devpts /dev/pts",
            multiplexer.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_pseudo_terminals_is_told_what_to_mount() {
        let error = check(Path::new("/dev/no-such-multiplexer")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Bochs draws its screen on a pseudo-terminal, and /dev/no-such-multiplexer gives none: \
             No such file or directory (os error 2); where /dev/pts is not mounted (in a chroot or \
             container), mount it: mount -t devpts devpts /dev/pts"
        );
    }
}
