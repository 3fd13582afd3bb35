//! The secret that all keys of a system are made of: for who makes its image, and for the far
//! end of its devices.
use crate::error::{Context, Error, Result};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use tern_plant::tag::Key;

/// Returns a secret that nobody has seen.
///
/// # Errors
/// If the operating system has no random numbers.
pub fn fresh() -> Result<Key> {
    const SOURCE: &str = "/dev/urandom";
    let mut words = [[0; 8]; 2];
    let mut source = File::open(SOURCE).context(|| format!("opening {SOURCE}"))?;
    let read = source.read_exact(words.as_flattened_mut());
    read.context(|| format!("reading {SOURCE}"))?;
    Ok(Key(words.map(u64::from_le_bytes)))
}

/// Returns the secret in the file beside `output`, of its name and `.keys`: 32 hexadecimal digits
/// that only its owner may read. Where there is none, one is made.
///
/// # Errors
/// If the file is not such a one, or cannot be written.
pub fn beside(output: &Path) -> Result<Key> {
    let mut name = output.as_os_str().to_owned();
    name.push(".keys");
    let file = PathBuf::from(name);
    match std::fs::read_to_string(&file) {
        Ok(text) => parse(&text).ok_or_else(|| {
            Error::input(format!(
                "{}: a system's secret is 32 hexadecimal digits: correct it, or remove the file \
                 to have a new one made",
                file.display()
            ))
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let secret = fresh()?;
            let [low, high] = secret.0;
            let mut options = OpenOptions::new();
            let opened = options.write(true).create_new(true).mode(0o600).open(&file);
            opened
                .and_then(|mut file| writeln!(file, "{low:016x}{high:016x}"))
                .context(|| format!("writing {}", file.display()))?;
            Ok(secret)
        }
        Err(error) => Err(error).context(|| format!("reading {}", file.display())),
    }
}

fn parse(text: &str) -> Option<Key> {
    let digits = text.trim_end();
    if digits.len() != 32 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let (low, high) = digits.split_at(16);
    let word = |digits| u64::from_str_radix(digits, 16).ok();
    Some(Key([word(low)?, word(high)?]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_is_made_once_and_then_found() {
        let output = std::env::temp_dir().join(format!("tern-secret-{}", std::process::id()));
        let file = output.with_extension("keys");
        let made = beside(&output).unwrap();
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(beside(&output).unwrap(), made);
        assert_ne!(fresh().unwrap(), made);

        for wrong in ["", "12", "x2345678123456781234567812345678"] {
            std::fs::write(&file, wrong).unwrap();
            assert!(beside(&output).is_err(), "{wrong}");
        }
        std::fs::remove_file(&file).unwrap();
    }
}
