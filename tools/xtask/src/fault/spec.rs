//! What fault the user asks for: `TARGET` or `TARGET@REPLICA`.
use super::Region;
use std::fmt;
use std::str::FromStr;

/// What is hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Nothing.
    None,
    /// One bit of any writable page.
    Writable,
    /// One bit of a region.
    Region(Region),
    /// One bit of the page with this position in the program's page list, from 0.
    Page(usize),
    /// One bit of a general register, while the replica runs.
    Register,
    /// The instruction pointer, to an invalid instruction: the replica stops by a fault of
    /// its own.
    Silent,
    /// The instruction pointer, to an endless loop: the replica never ends its job.
    Endless,
}

/// A fault as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// What is hit.
    pub target: Target,
    /// The name of the replica's sandbox; a random one if none is given.
    pub replica: Option<String>,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            target: Target::Writable,
            replica: None,
        }
    }
}

/// The targets' names, for messages.
pub const NAMES: &str = "random, text, data, heap, stack, register, page=N, silent, endless, none";

impl FromStr for Spec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, replica) = match text.split_once('@') {
            Some((name, replica)) => (name, Some(replica.to_string())),
            None => (text, None),
        };
        let target = match name {
            "none" => Target::None,
            "random" => Target::Writable,
            "text" => Target::Region(Region::Text),
            "data" => Target::Region(Region::Data),
            "heap" => Target::Region(Region::Heap),
            "stack" => Target::Region(Region::Stack),
            "register" => Target::Register,
            "silent" => Target::Silent,
            "endless" => Target::Endless,
            _ => match name.strip_prefix("page=").map(str::parse) {
                Some(Ok(page)) => Target::Page(page),
                _ => {
                    return Err(format!(
                        "no fault is named '{text}': it is one of {NAMES}, each with @SANDBOX if wanted"
                    ));
                }
            },
        };
        Ok(Self { target, replica })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => out.write_str("none"),
            Self::Writable => out.write_str("random"),
            Self::Region(region) => write!(out, "{region}"),
            Self::Page(page) => write!(out, "page={page}"),
            Self::Register => out.write_str("register"),
            Self::Silent => out.write_str("silent"),
            Self::Endless => out.write_str("endless"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_fault_is_read_and_printed_alike() {
        for name in NAMES.split(", ") {
            let name = name.replace('N', "17");
            assert_eq!(name.parse::<Spec>().unwrap().target.to_string(), name);
            let at = format!("{name}@beta").parse::<Spec>().unwrap();
            assert_eq!(at.replica.as_deref(), Some("beta"));
        }
    }

    #[test]
    fn an_unknown_fault_is_refused_with_the_known_ones() {
        for text in [
            "", "page", "page=", "page=x", "page=-1", "hea", "Heap", "@beta",
        ] {
            assert!(text.parse::<Spec>().unwrap_err().contains(NAMES), "{text}");
        }
    }
}
