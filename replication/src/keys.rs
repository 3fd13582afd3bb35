//! Who is given which keys, and what the actuator of a set is told.
use tern_config::{ReplicaSet, Runs, System};
use tern_plant::actuator::Settings;
use tern_plant::keyring::Entry;
use tern_plant::tag::Key;
use tern_units::Duration;

/// Samples to which an actuator takes answers: an output answers the last but one, and three in a
/// row may have come too late, as many as the pendulum bears.
const ANSWERS: u8 = 5;
/// Periods from a sample to its answer, and without an output: as many as answers, and one more
/// for what comes late in its own.
const PATIENCE: u64 = 6;

/// Returns what the actuator of set number `number` is told, where `secret` is the system's.
#[must_use]
pub fn actuator_of(number: u32, set: &ReplicaSet, secret: &Key) -> Settings {
    let mut settings = untold(number, set);
    for (place, key) in (0..settings.places).zip(&mut settings.keys) {
        *key = secret.of_place(number, place);
    }
    settings.sensor = secret.of_sensor(number);
    settings
}

/// Returns what the actuator of set number `number` is told in a sandbox that has these keys.
/// Without the keys of a place it knows none of that place's tags.
#[must_use]
pub fn actuator_with(number: u32, set: &ReplicaSet, keys: impl Iterator<Item = Entry>) -> Settings {
    let mut settings = untold(number, set);
    for entry in keys {
        match entry {
            Entry::Source { set, place, key } if set == number => {
                if let Some(slot) = settings.keys.get_mut(usize::from(place)) {
                    *slot = key;
                }
            }
            Entry::Sensor { set, key } if set == number => settings.sensor = key,
            Entry::Source { .. } | Entry::Sensor { .. } | Entry::Place { .. } => {}
        }
    }
    settings
}

fn untold(number: u32, set: &ReplicaSet) -> Settings {
    let patience = Duration::from_nanos(set.period).saturating_mul(PATIENCE);
    Settings::new(number, set.replicas.len() as u8, ANSWERS, patience)
}

/// Hands the keys that sandbox number `sandbox` is given to `give`: a replica's its place's and
/// the sensor's, a plant's what all places' are made of; a voter's, or a driver's, none.
pub fn keys_of(system: &System, sandbox: usize, secret: &Key, give: &mut dyn FnMut(Entry)) {
    let tagged = (0..).zip(&system.replica_sets);
    for (number, set) in tagged.filter(|(_, set)| set.tags) {
        let replicas = (0..).zip(&set.replicas);
        for (place, _) in replicas.filter(|(_, at)| at.sandbox as usize == sandbox) {
            let key = secret.of_place(number, place).numbered(0);
            give(Entry::Place {
                set: number,
                place,
                key,
            });
            let key = secret.of_sensor(number);
            give(Entry::Sensor { set: number, key });
        }
        if simulates(system, sandbox, set.device) {
            for place in 0..set.replicas.len() as u8 {
                let key = secret.of_place(number, place);
                give(Entry::Source {
                    set: number,
                    place,
                    key,
                });
            }
            let key = secret.of_sensor(number);
            give(Entry::Sensor { set: number, key });
        }
    }
}

/// Whether a program in the sandbox stands for what is at the other end of the device.
fn simulates(system: &System, sandbox: usize, device: Option<u32>) -> bool {
    let Some(sandbox) = system.sandboxes.get(sandbox) else {
        return false;
    };
    let mut threads = sandbox.threads();
    device.is_some()
        && threads.any(|(_, _, thread)| match &thread.runs {
            Runs::Program { simulates, .. } => *simulates == device,
            Runs::Nothing | Runs::Replica(_) | Runs::Voter(_) | Runs::Driver(_) => false,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;
    use tern_config::{Sandbox, Server, Thread, ThreadRef};

    const SECRET: Key = Key([1, 2]);

    /// Three replicas, a voter with the driver, and a plant, each in a sandbox.
    fn system() -> System {
        let plant = Runs::Program {
            file: "plant".into(),
            argument: 0,
            heap_pages: 0,
            stack_pages: 4,
            simulates: Some(0),
        };
        let replica = || Runs::Replica(0);
        let all = [replica(), replica(), replica(), Runs::Voter(0), plant];
        let sandboxes = all.into_iter().map(|runs| Sandbox {
            servers: Vec::from([Server {
                threads: Vec::from([Thread {
                    runs,
                    ..Thread::default()
                }]),
                ..Server::default()
            }]),
            ..Sandbox::default()
        });
        let at = |sandbox| ThreadRef {
            sandbox,
            ..ThreadRef::default()
        };
        System {
            sandboxes: sandboxes.collect(),
            replica_sets: Vec::from([ReplicaSet {
                tags: true,
                replicas: (0..3).map(at).collect(),
                voters: Vec::from([at(3)]),
                device: Some(0),
                ..ReplicaSet::default()
            }]),
            ..System::default()
        }
    }

    fn given(system: &System, sandbox: usize) -> Vec<Entry> {
        let mut entries = Vec::new();
        keys_of(system, sandbox, &SECRET, &mut |entry| entries.push(entry));
        entries
    }

    #[test]
    fn a_replica_has_its_own_key_the_voter_none_and_the_plant_the_sources() {
        let system = system();
        let sensor = Entry::Sensor {
            set: 0,
            key: SECRET.of_sensor(0),
        };
        for place in 0..3_u8 {
            let key = SECRET.of_place(0, place).numbered(0);
            let own = Entry::Place { set: 0, place, key };
            assert_eq!(given(&system, usize::from(place)), [own, sensor]);
        }
        assert_eq!(given(&system, 3), []);
        let settings = actuator_with(0, &system.replica_sets[0], given(&system, 4).into_iter());
        assert_eq!(settings, actuator_of(0, &system.replica_sets[0], &SECRET));
    }

    #[test]
    fn a_set_without_tags_has_no_keys() {
        let mut system = system();
        system.replica_sets[0].tags = false;
        assert!((0..5).all(|sandbox| given(&system, sandbox).is_empty()));
    }
}
