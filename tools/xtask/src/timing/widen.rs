//! A system among as many servers as a sandbox kernel schedules: to those of its description
//! come others, which sleep most of the time, above all of them in priority.
use crate::error::{Context, Result};
use crate::workspace;
use tern_config::System;
use tern_config::layout::MAX_SERVERS;

/// The description of one of the others, in `tests/systems/timing/`.
const SLEEPER: &str = "beside/sleeper.toml";
/// What it has in its names for a number.
const NUMBER: &str = "NUMBER";
/// How the names of the others begin.
const NAME: &str = "sleeper-";

/// The text to add to the description of a system whose only sandbox has `servers` servers.
///
/// # Errors
/// If the file cannot be read.
pub fn text(servers: usize) -> Result<String> {
    let file = workspace::root().join("tests/systems/timing").join(SLEEPER);
    let one = std::fs::read_to_string(&file).context(|| format!("reading {}", file.display()))?;
    let numbers = servers + 1..=MAX_SERVERS;
    Ok(numbers
        .map(|number| one.replace(NUMBER, &number.to_string()))
        .collect())
}

/// Puts the others above those of the description, whose order stays as it is.
///
/// There they cost most. The scheduler keeps what becomes due by priority, in groups, and goes
/// through the groups from the highest on: to a server that is released or gets its budget
/// back; to the one that goes on where another has used up its budget; and for the timer to
/// the one that gets the core. Below these, others are not looked at.
pub fn raise(system: &mut System) {
    let servers = &mut system.sandboxes[0].servers;
    let mut order: Vec<usize> = (0..servers.len()).collect();
    order.sort_by_key(|&index| {
        let server = &servers[index];
        (!server.name.starts_with(NAME), server.priority)
    });
    for (rank, index) in (0..).zip(order) {
        servers[index].priority = rank;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tern_config::system::Server;

    #[test]
    fn the_others_are_above_and_what_is_measured_keeps_its_order() {
        let server = |name: &str, priority| Server {
            name: name.into(),
            priority,
            ..Server::default()
        };
        let mut system = System::default();
        let names = ["low", "high", "sleeper-3", "sleeper-4"];
        let servers = names.into_iter().zip([3, 0, 1, 2]);
        system.sandboxes = vec![Default::default()];
        system.sandboxes[0].servers = servers.map(|(name, rank)| server(name, rank)).collect();
        raise(&mut system);
        let servers = &system.sandboxes[0].servers;
        let priorities: Vec<_> = servers.iter().map(|server| server.priority).collect();
        assert_eq!(priorities, [3, 2, 0, 1]);
    }

    #[test]
    fn eight_servers_become_as_many_as_there_can_be() {
        let text = text(8).unwrap();
        assert_eq!(text.matches("[[sandbox.server]]").count(), MAX_SERVERS - 8);
        assert!(text.contains("\"sleeper-9\"") && text.contains("\"sleeper-64\""));
    }
}
