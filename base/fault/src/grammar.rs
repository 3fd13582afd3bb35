//! How a fault is written: `TARGET[=VALUE][@WHERE][:epoch=N]`.
use crate::place::Place;
use crate::target::Target;
use std::fmt;
use std::str::FromStr;
use tern_config::System;

/// A fault as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is hit.
    pub target: Target,
    /// Where, as it was named; drawn by the seed if it was not.
    pub place: Option<String>,
    /// The epoch whose job it is meant for; drawn by the seed if none was given.
    pub epoch: Option<u64>,
}

impl Fault {
    /// Finds the place that the fault names in `system`, in which the replica set with index
    /// `set` is watched; `None` if it names none.
    ///
    /// # Errors
    /// That the system has no such place, and which there are.
    pub fn place(&self, system: &System, set: usize) -> Result<Option<Place>, String> {
        let Some(name) = &self.place else {
            return Ok(None);
        };
        let site = self.target.about().site;
        let found = site.find(system, set, name).map_err(|error| {
            let shape = site.shape();
            format!("--fault {self}: {error} (after @ stands {shape})")
        });
        found.map(Some)
    }
}

impl From<Target> for Fault {
    fn from(target: Target) -> Self {
        Self {
            target,
            place: None,
            epoch: None,
        }
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |reason: String| format!("--fault {text}: {reason}");
        let (rest, epoch) = match text.split_once(':') {
            Some((rest, option)) => {
                let epoch = option.strip_prefix("epoch=").map(str::parse);
                let Some(Ok(epoch)) = epoch else {
                    return Err(wrong(format!("after : stands epoch=N, not '{option}'")));
                };
                (rest, Some(epoch))
            }
            None => (text, None),
        };
        let (rest, place) = match rest.split_once('@') {
            Some((_, "")) => return Err(wrong("nothing is named after @".into())),
            Some((rest, place)) => (rest, Some(place.to_string())),
            None => (rest, None),
        };
        let (name, value) = match rest.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (rest, None),
        };
        Ok(Self {
            target: Target::read(name, value).map_err(wrong)?,
            place,
            epoch,
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.target)?;
        if let Some(place) = &self.place {
            write!(out, "@{place}")?;
        }
        if let Some(epoch) = self.epoch {
            write!(out, ":epoch={epoch}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
