//! Cost tables of platforms: what the kernel's own work takes there, at most.
use alloc::format;
use alloc::string::{String, ToString};
use std::path::Path;

use toml::de::DeTable;

use super::Description;
use super::problem::{Place, Problems};
use super::reader::{Keys, Reader, root};

/// Upper bounds measured by a calibration boot, in nanoseconds. The default is the
/// platform "none", without overheads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Costs {
    /// Switching threads, address space and floating-point state included.
    pub context_switch: u64,
    /// Entering and leaving the timer's interrupt, with the decision what runs.
    pub timer_interrupt: u64,
    /// Charging a server and posting a replenishment.
    pub replenishment: u64,
    /// Entering and leaving a system call.
    pub system_call: u64,
    /// A hypercall and back.
    pub hypercall: u64,
    /// Hashing a page.
    pub page_hash: u64,
    /// Copying a page.
    pub page_copy: u64,
    /// Taking a page in a repair, with the fast hash for its leaf.
    pub page_repair: u64,
    /// Writing a trace record.
    pub trace_record: u64,
    /// The longest section that runs with interrupts off.
    pub longest_non_preemptible: u64,
}

impl Costs {
    /// Reads the text of a cost table; `file` is for messages.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let mut reader = Reader::new(text);
        let (document, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            return Err(super::syntax_problems(file, text, &reader, &errors));
        }
        let mut top = root(&mut reader, &document);
        let mut costs = Self::default();
        match reader.table(&mut top, "costs") {
            Some(keys) => costs = table(&mut reader, keys),
            None if top.has("costs") => {}
            None => reader.problem(&Place::root(), "costs", "missing: add [costs]"),
        }
        reader.finish(top);
        if reader.problems.is_empty() {
            Ok(costs)
        } else {
            Err(Problems::sorted(file, reader.problems))
        }
    }
}

/// Every key has to be there: a cost that is not written was not measured.
fn table(reader: &mut Reader, mut keys: Keys<'_>) -> Costs {
    let mut cost = |key| reader.required_duration(&mut keys, key);
    let costs = Costs {
        context_switch: cost("context_switch"),
        timer_interrupt: cost("timer_interrupt"),
        replenishment: cost("replenishment"),
        system_call: cost("system_call"),
        hypercall: cost("hypercall"),
        page_hash: cost("page_hash"),
        page_copy: cost("page_copy"),
        page_repair: cost("page_repair"),
        trace_record: cost("trace_record"),
        longest_non_preemptible: cost("longest_non_preemptible"),
    };
    reader.finish(keys);
    costs
}

/// The platform without a cost table.
pub const NO_PLATFORM: &str = "none";

/// The file of a platform's cost table, from the folder that holds all of them.
fn table_of(platform: &str) -> String {
    format!("platforms/{platform}.toml")
}

impl Description {
    /// The costs of the platform that the description names, as [`Description::costs_on`] has
    /// them. The platform "none" has none.
    ///
    /// # Errors
    /// That there is no such file, or everything that is wrong with it.
    pub fn costs(&self) -> Result<Costs, Problems> {
        let name = &self.system.platform;
        if name == NO_PLATFORM {
            return Ok(Costs::default());
        }
        match self.costs_on(name)? {
            Some(costs) => Ok(costs),
            None => {
                let file = table_of(name);
                let reason = format!(
                    "there is no cost table {file} beside this file or above: \
                     measure one, or write \"none\" for zero overheads"
                );
                let place = Place::root().table("system");
                let problem = self.places.problem(&place, "platform", reason);
                Err(Problems::sorted(&self.file, alloc::vec![problem]))
            }
        }
    }

    /// The costs of a platform: those of the file `platforms/NAME.toml` in the folder of the
    /// description or the nearest one above. `None` if there is no such file.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub fn costs_on(&self, platform: &str) -> Result<Option<Costs>, Problems> {
        let description = std::path::absolute(&self.file).unwrap_or_default();
        let mut folders = description.ancestors().skip(1);
        folders
            .find_map(|folder| Costs::of_folder(folder, platform).transpose())
            .transpose()
    }
}

impl Costs {
    /// The costs of a platform: those of the file `platforms/NAME.toml` in `folder`. `None` if
    /// there is no such file.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub fn of_folder(folder: &Path, platform: &str) -> Result<Option<Self>, Problems> {
        let file = folder.join(table_of(platform));
        // A name that climbs out of the folder is no name of a platform.
        match file.is_file() && !platform.contains(['/', '\\']) {
            true => read(&file).map(Some),
            false => Ok(None),
        }
    }
}

fn read(path: &Path) -> Result<Costs, Problems> {
    let file: String = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => Costs::parse(&file, &text),
        Err(error) => Err(Problems::of_file(&file, format!("cannot be read: {error}"))),
    }
}
