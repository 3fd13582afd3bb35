//! What is done about faults: a replica set's policies, in the order in which they are tried.
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::reader::{Choice, Keys, Reader};
use crate::system::Policy;

/// The kinds of policies there are.
const KINDS: [&str; 2] = ["migrate-application", "safe-stop"];

/// Reads the policies of a set. The last one is to stop, whether it is written or not; who
/// writes none gets repairs, too.
pub(super) fn policies(reader: &mut Reader, keys: &mut Keys<'_>) -> Vec<Policy> {
    let mut policies: Vec<Policy> = Vec::new();
    let Some(choices) = reader.choices(keys, "recovery") else {
        return alloc::vec![Policy::MigrateApplication, stop(Policy::LOST_EPOCHS)];
    };
    for choice in choices {
        let Some(policy) = policy(reader, keys, choice) else {
            continue;
        };
        let problem = match policies.last() {
            Some(Policy::SafeStop { .. }) => {
                Some("nothing comes after \"safe-stop\": move it to the end")
            }
            Some(Policy::MigrateApplication) if policies.contains(&policy) => {
                Some("\"migrate-application\" is written twice: leave one out")
            }
            Some(Policy::MigrateApplication) | None => None,
        };
        match problem {
            Some(problem) => reader.problem(&keys.place, "recovery", problem),
            None => policies.push(policy),
        }
    }
    if !matches!(policies.last(), Some(Policy::SafeStop { .. })) {
        policies.push(stop(Policy::LOST_EPOCHS));
    }
    policies
}

const fn stop(lost_epochs: u32) -> Policy {
    Policy::SafeStop { lost_epochs }
}

fn policy(reader: &mut Reader, keys: &Keys<'_>, choice: Choice<'_>) -> Option<Policy> {
    let Choice {
        kind,
        keys: mut more,
    } = choice;
    let policy = match kind {
        "migrate-application" => Policy::MigrateApplication,
        "safe-stop" => {
            let lost = more
                .as_mut()
                .and_then(|keys| reader.integer(keys, "lost_epochs", 1..=u64::from(u32::MAX)));
            stop(lost.map_or(Policy::LOST_EPOCHS, |epochs| epochs as u32))
        }
        other => {
            let known: Vec<String> = KINDS.iter().map(|kind| format!("\"{kind}\"")).collect();
            let reason = format!("\"{other}\" is unknown, it can be {}", known.join(", "));
            reader.problem(&keys.place, "recovery", reason);
            return None;
        }
    };
    if let Some(more) = more {
        reader.finish(more);
    }
    Some(policy)
}
