//! What the analysis promises of a system that was drawn, and deadlines as close as that.
use super::model::Model;
use super::run::read;
use std::path::Path;
use tern_check::{Report, SandboxReport, ThreadReport, check, cost_table};
use tern_units::Duration;
use xtask::error::{Context, Error, Result};

/// The least bound on each thread's response, by sandbox, in the order of thread numbers.
pub(super) type Bounds = Vec<Vec<Duration>>;

/// Returns the sandboxes of `model`, whose description goes to `file`, that the analysis does not
/// accept with the costs of their machine.
///
/// # Errors
/// If the description is not sound.
pub(super) fn refused(model: &Model, file: &Path) -> Result<Vec<usize>> {
    let all = 0..model.sandboxes.len();
    let overloaded: Vec<_> = all.filter(|it| model.overloads(*it)).collect();
    if !overloaded.is_empty() {
        return Ok(overloaded);
    }
    let report = report(model, file)?;
    let sandboxes = report.sandboxes[..model.sandboxes.len()].iter().enumerate();
    let refused = sandboxes.filter(|(_, sandbox)| !is_accepted(sandbox));
    Ok(refused.map(|(number, _)| number).collect())
}

/// Moves the deadlines of a model, all of which has a bound, to their bounds: of each server, and
/// of each thread by a toss of `random`. Returns the bounds on its threads.
///
/// # Errors
/// If that changes whether it is accepted.
pub(super) fn tighten(
    model: &mut Model,
    file: &Path,
    random: &mut fastrand::Rng,
) -> Result<Bounds> {
    let report = report(model, file)?;
    let bounds = bounds(&report);
    for (sandbox, servers) in model.sandboxes.iter_mut().enumerate() {
        let mut bounds = bounds[sandbox].iter();
        for (server, promised) in servers.iter_mut().zip(&report.sandboxes[sandbox].servers) {
            server.deadline = promised.response.unwrap_or_default().max(server.period);
            for (thread, bound) in server.threads.iter_mut().zip(&mut bounds) {
                if random.bool() {
                    thread.deadline = *bound;
                }
            }
        }
    }

    let again = self::report(model, file)?;
    match again.schedulable() {
        true => Ok(self::bounds(&again)),
        false => Err(Error::failure(format!(
            "{}: what is accepted with far deadlines is not with deadlines at its bounds",
            file.display()
        ))),
    }
}

fn is_accepted(sandbox: &SandboxReport) -> bool {
    let mut servers = sandbox.servers.iter();
    servers.all(|it| it.schedulable() && it.threads.iter().all(ThreadReport::schedulable))
}

fn report(model: &Model, file: &Path) -> Result<Report> {
    let written = std::fs::write(file, model.description());
    written.context(|| format!("writing {}", file.display()))?;
    let description = read(file)?;
    let costs = description.costs();
    let costs = costs.map_err(|problems| Error::input(problems.to_string()))?;
    Ok(check(&description.system, &cost_table(&costs)))
}

fn bounds(report: &Report) -> Bounds {
    let sandboxes = report.sandboxes.iter();
    let of_sandboxes = sandboxes.map(|sandbox| {
        let threads = sandbox.servers.iter().flat_map(|server| &server.threads);
        // What is accepted has a bound; a thread without one would break it at once.
        let bounds = threads.map(|thread| thread.response.unwrap_or(Duration::ZERO));
        bounds.collect()
    });
    of_sandboxes.collect()
}
