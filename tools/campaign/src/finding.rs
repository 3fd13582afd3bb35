//! A system that broke promises, and the files to look at.
use std::fmt;
use std::path::PathBuf;

/// A system that broke promises.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Its seed.
    pub seed: u64,
    /// What else a search has to be told to come upon it.
    pub on: String,
    /// Its description.
    pub description: PathBuf,
    /// The trace of its run.
    pub trace: PathBuf,
    /// What was promised and not kept, a line each.
    pub broken: Vec<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, trace) = (self.description.display(), self.trace.display());
        let seed = self.seed;
        write!(out, "seed {seed}: {file}, {trace}")?;
        let mut broken = self.broken.iter();
        broken.try_for_each(|line| write!(out, "\n    {line}"))?;
        write!(
            out,
            "\n    again: cargo xtask search{} --seed {seed} --systems 1",
            self.on
        )
    }
}
