//! What was promised of a run before it began: the bounds of the analysis, with the costs that
//! they count. Computed when the image is made, and carried in the trace.
use std::string::String;
use std::vec::Vec;

use tern_units::Duration;

/// The promises of one system on one platform.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Promises {
    /// The platform whose costs the bounds count; `None` for bounds without costs.
    pub platform: Option<Platform>,
    /// One for each sandbox, in the order of the system description.
    pub sandboxes: Vec<SandboxPromises>,
    /// One for each replica set, in that order.
    pub repairs: Vec<RepairPromise>,
}

/// A platform and what the kernel's own work costs on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Platform {
    /// Its name.
    pub name: String,
    /// Its cost table, entry by entry.
    pub costs: Vec<(String, Duration)>,
}

/// The bounds of one sandbox; `None` where the analysis gives none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SandboxPromises {
    /// For each server, the longest time until its whole budget is delivered.
    pub servers: Vec<Option<Duration>>,
    /// For each thread, the longest response of a job.
    pub threads: Vec<Option<Duration>>,
}

/// How long a repair may take, from the verdict's deadline to its last page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RepairPromise {
    /// Pages that may differ.
    pub pages: u32,
    /// The longest repair of as many.
    pub bound: Option<Duration>,
    /// The longest repair, however many pages differ.
    pub bound_for_all: Option<Duration>,
    /// So many epochs apart repairs must be for that.
    pub epochs_apart: u32,
}

impl Promises {
    /// The cost of that name, where the bounds count costs.
    #[must_use]
    pub fn cost(&self, name: &str) -> Option<Duration> {
        let costs = &self.platform.as_ref()?.costs;
        let (_, cost) = costs.iter().find(|(known, _)| known == name)?;
        Some(*cost)
    }
}
