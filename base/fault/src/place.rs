//! Where in a system a fault goes: the names after `@`, and what they name in a description.
use tern_config::{Runs, System, ThreadRef};

/// What the place of a fault names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// A replica of the set that is watched.
    Replica,
    /// The voter of the set that is watched.
    Voter,
    /// A thread; by its sandbox alone the one that is a replica or the voter of the set that
    /// is watched.
    Thread,
    /// A sandbox.
    Sandbox,
    /// A replica set.
    Set,
    /// A channel.
    Channel,
    /// A device.
    Device,
}

/// A place in a system, found by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A thread.
    Thread(ThreadRef),
    /// A sandbox: index into [`System::sandboxes`].
    Sandbox(usize),
    /// A replica set: index into [`System::replica_sets`].
    Set(usize),
    /// A channel: index into [`System::channels`].
    Channel(usize),
    /// A device: index into [`System::devices`].
    Device(usize),
}

impl Site {
    /// Returns how a place of this kind is written.
    #[must_use]
    pub const fn shape(self) -> &'static str {
        match self {
            Self::Replica | Self::Voter | Self::Thread => "SANDBOX or SANDBOX/THREAD",
            Self::Sandbox => "SANDBOX",
            Self::Set => "SET",
            Self::Channel => "CHANNEL",
            Self::Device => "DEVICE",
        }
    }

    /// Finds the place called `name` in `system`, in which the replica set with index `set`
    /// is watched.
    ///
    /// # Errors
    /// What is wrong, with the names that there are.
    pub fn find(self, system: &System, set: usize, name: &str) -> Result<Place, String> {
        let is_replica = |runs: &Runs| *runs == Runs::Replica(set as u32);
        let is_voter = |runs: &Runs| *runs == Runs::Voter(set as u32);
        let has_part = |runs: &Runs| is_replica(runs) || is_voter(runs);
        match self {
            Self::Replica => {
                let place = thread(system, name, "replica", is_replica)?;
                match system.thread(&place).is_some_and(|it| is_replica(&it.runs)) {
                    true => Ok(Place::Thread(place)),
                    false => Err(format!("'{name}' is no replica of the watched set")),
                }
            }
            Self::Voter => {
                let place = thread(system, name, "voter", is_voter)?;
                match system.thread(&place).is_some_and(|it| is_voter(&it.runs)) {
                    true => Ok(Place::Thread(place)),
                    false => Err(format!("'{name}' is not the voter of the watched set")),
                }
            }
            Self::Thread => thread(system, name, "replica or voter", has_part).map(Place::Thread),
            Self::Sandbox => sandbox(system, name).map(Place::Sandbox),
            Self::Set => {
                let sets = system.replica_sets.iter().map(|it| it.name.as_str());
                named("replica set", name, sets).map(Place::Set)
            }
            Self::Channel => {
                let channels = system.channels.iter().map(|it| it.name.as_str());
                named("channel", name, channels).map(Place::Channel)
            }
            Self::Device => {
                let devices = system.devices.iter().map(|it| it.name.as_str());
                named("device", name, devices).map(Place::Device)
            }
        }
    }
}

/// Finds the thread called `SANDBOX/THREAD`, or the one of `SANDBOX` that is `preferred`.
fn thread(
    system: &System,
    name: &str,
    what: &str,
    preferred: impl Fn(&Runs) -> bool,
) -> Result<ThreadRef, String> {
    let (owner, thread) = match name.split_once('/') {
        Some((owner, thread)) => (owner, Some(thread)),
        None => (name, None),
    };
    let sandbox = sandbox(system, owner)?;
    let described = &system.sandboxes[sandbox];
    let threads: Vec<_> = described.threads().collect();
    let number = match thread {
        Some(thread) => {
            let names = threads.iter().map(|(_, _, it)| it.name.as_str());
            named("thread", thread, names).map_err(|error| format!("{owner}: {error}"))?
        }
        None => {
            let wanted = threads.iter().position(|(_, _, it)| preferred(&it.runs));
            wanted.ok_or_else(|| {
                let names = threads.iter().map(|(_, _, it)| it.name.as_str());
                let names = names.collect::<Vec<_>>().join(", ");
                format!("no {what} of the watched set is in '{owner}'; its threads are {names}")
            })?
        }
    };
    let (server, thread, _) = threads[number];
    Ok(ThreadRef {
        sandbox: sandbox as u32,
        server,
        thread,
    })
}

fn sandbox(system: &System, name: &str) -> Result<usize, String> {
    let sandboxes = system.sandboxes.iter().map(|it| it.name.as_str());
    named("sandbox", name, sandboxes)
}

/// Returns the position of `name` among `names`, which are those of `what`.
fn named<'a>(
    what: &str,
    name: &str,
    names: impl Iterator<Item = &'a str> + Clone,
) -> Result<usize, String> {
    names.clone().position(|it| it == name).ok_or_else(|| {
        let all = names.collect::<Vec<_>>().join(", ");
        match all.is_empty() {
            true => format!("no {what} is called '{name}'; there is none at all"),
            false => format!("no {what} is called '{name}'; there are {all}"),
        }
    })
}
