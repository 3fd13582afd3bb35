//! `tern simulate FILE --until TIME`: the schedule, by the kernel's own code.
use std::path::PathBuf;

use tern_check::{check, give_room};
use tern_config::description::parse_duration;
use tern_units::Instant;

use super::check::read;
use super::complain;
use crate::simulate::{Schedule, SimulationJson, trace};
use crate::status::Status;

/// Shows a system's schedule from its start, by the code that schedules in the kernel
///
/// Jobs take their worst-case time, and the kernel itself takes none. A voter asks the driver
/// of its device for a job as its own ends.
///
/// Also runs systems that `tern check` refuses, and says so. Ends with 0 whatever the
/// schedule shows, 64 if it would be too long, 65 if the description is invalid.
#[derive(Clone, Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The system description.
    file: PathBuf,
    /// How far to simulate, such as 200ms: jobs released before that time are seen.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    until: u64,
    /// Prints one JSON object instead of a chart.
    #[arg(long)]
    json: bool,
    /// Also writes a trace, for all that reads those of real runs.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// What kept it from its end.
pub fn run(arguments: &Arguments) -> Result<Status, Status> {
    let (mut system, costs) = read(&arguments.file)?;
    give_room(&mut system, &costs);
    let until = Instant::from_nanos(arguments.until);
    let simulate = match &arguments.trace {
        Some(_) => tern_sim::simulate_with_records,
        None => tern_sim::simulate,
    };
    let mut simulation = match simulate(&system, until) {
        Ok(simulation) => simulation,
        Err(error) => {
            super::complain_of(&arguments.file, &error);
            return Err(Status::Usage);
        }
    };
    if let Some(file) = &arguments.trace {
        let records = std::mem::take(&mut simulation.records);
        super::write_file(file, &trace(&system, records).to_bytes())?;
    }
    let refused = !check(&system, &costs).schedulable();
    let schedule = Schedule {
        system: &system,
        simulation: &simulation,
        until,
        refused,
    };
    if arguments.json {
        if refused {
            complain(&"tern: not schedulable: `tern check` says why");
        }
        // There may be millions of runs.
        super::print_compact_json(&SimulationJson::from(&schedule))?;
    } else {
        super::print(&schedule.to_string())?;
    }
    Ok(Status::Well)
}
