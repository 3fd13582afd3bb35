//! A simulated schedule as people and scripts read it.
use tern_config::System;
use tern_sim::Simulation;
use tern_units::Instant;

mod gantt;
mod json;
mod text;
mod trace;

pub use json::SimulationJson;
pub use trace::trace;

/// A simulation with the system that it is of.
#[derive(Clone, Debug)]
pub struct Schedule<'a> {
    /// The system.
    pub system: &'a System,
    /// What happened.
    pub simulation: &'a Simulation,
    /// The end of the simulation.
    pub until: Instant,
    /// Whether the analysis refuses the system.
    pub refused: bool,
}
