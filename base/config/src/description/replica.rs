//! A replica set of a description: its program, and the times of its protocol.
use alloc::format;
use alloc::string::String;

use sha2::{Digest, Sha256};

use super::policies::policies;
use super::problem::Place;
use super::read::{find, show};
use super::reader::{Keys, Reader};
use super::thread::{MOST_HEAP_PAGES, MOST_STACK_PAGES};
use crate::layout::REPAIR_SLOTS;
use crate::system::{LeafAlgorithm, ReplicaSet, System, Voting};

/// Reads a replica set. Devices of `system` are known already; its members are not.
pub(super) fn replica_set(
    reader: &mut Reader,
    mut keys: Keys<'_>,
    parent: &Place,
    system: &System,
) -> ReplicaSet {
    let name = reader.own_name(&mut keys, parent, "replica_set");
    let program = reader.required_name(&mut keys, "program");
    let argument = reader
        .integer(&mut keys, "argument", 0..=u64::MAX)
        .unwrap_or(0);
    let heap_pages = reader
        .integer(&mut keys, "heap_pages", 0..=MOST_HEAP_PAGES)
        .unwrap_or(0);
    let stack_pages = reader
        .integer(&mut keys, "stack_pages", 1..=MOST_STACK_PAGES)
        .unwrap_or(4);
    let voting = voting(reader, &mut keys);
    let leaf = [
        ("ahash", LeafAlgorithm::Ahash),
        ("sha256", LeafAlgorithm::Sha256),
    ];
    let leaf = reader.choice(&mut keys, "leaf", &leaf);
    let recovery = policies(reader, &mut keys);
    let repair_pages = reader
        .integer(&mut keys, "repair_pages", 1..=u64::from(u32::MAX))
        .unwrap_or(REPAIR_SLOTS);
    let key = match reader.string(&mut keys, "key") {
        None => derived_key(&system.name, &name),
        Some(text) => parse_key(text).unwrap_or_else(|| {
            reader.problem(&keys.place, "key", "a key is 64 hexadecimal digits");
            [0; 4]
        }),
    };
    let coded = reader.boolean(&mut keys, "coded").unwrap_or(true);

    let period = reader.required_span(&mut keys, "period");
    let ballot_deadline = reader.required_span(&mut keys, "ballot_deadline");
    let verdict_deadline = reader.required_span(&mut keys, "verdict_deadline");
    let both = |a: u64, b: u64| a > 0 && b > 0;
    if both(ballot_deadline, verdict_deadline) && ballot_deadline >= verdict_deadline {
        let (ballot, verdict) = (show(ballot_deadline), show(verdict_deadline));
        let reason = format!("{verdict} is not after the ballot deadline, {ballot}");
        reader.problem(&keys.place, "verdict_deadline", reason);
    }
    for (key, deadline) in [
        ("ballot_deadline", ballot_deadline),
        ("verdict_deadline", verdict_deadline),
    ] {
        if both(deadline, period) && deadline >= period {
            let reason = format!(
                "{} is not before the period's end, {}",
                show(deadline),
                show(period)
            );
            reader.problem(&keys.place, key, reason);
        }
    }
    let scrub_period = reader
        .span(&mut keys, "scrub_period")
        .unwrap_or(SCRUB_PERIOD.max(period));
    if scrub_period < period {
        let reason = format!(
            "{} is shorter than the period, {}",
            show(scrub_period),
            show(period)
        );
        reader.problem(&keys.place, "scrub_period", reason);
    }
    let known: alloc::vec::Vec<&str> = system
        .devices
        .iter()
        .map(|device| device.name.as_str())
        .collect();
    let device = reader
        .string(&mut keys, "device")
        .and_then(|name| find(reader, &keys, "device", name, "device", &known));
    let tags = reader.boolean(&mut keys, "tags");
    if tags == Some(true) && device.is_none() {
        let reason = "a set without a device has nobody to know its tags: give it `device`, or \
                      leave this out";
        reader.problem(&keys.place, "tags", reason);
    }
    let tags = device.is_some() && tags.unwrap_or(true);
    reader.finish(keys);
    ReplicaSet {
        name,
        program,
        argument,
        heap_pages: heap_pages as u32,
        stack_pages: stack_pages as u32,
        voting,
        leaf,
        key,
        tags,
        coded,
        recovery,
        repair_pages: repair_pages as u32,
        period,
        ballot_deadline,
        verdict_deadline,
        scrub_period,
        device,
        ..ReplicaSet::default()
    }
}

/// Reads who votes, and what that has: an arbitrator, whose channel is sealed, where nothing else
/// is written. Where each replica's sandbox has a voter, nothing can be left unsealed.
fn voting(reader: &mut Reader, keys: &mut Keys<'_>) -> Voting {
    let Some(choice) = reader.one_choice(keys, "voting") else {
        return Voting::default();
    };
    let mut more = choice.keys;
    let voting = match choice.kind {
        "arbitrator" => {
            let seal = more.as_mut().and_then(|it| reader.boolean(it, "seal"));
            Voting::Arbitrator {
                seal: seal.unwrap_or(true),
            }
        }
        "distributed" => Voting::Distributed,
        // In which sandbox the device is follows from the rest.
        "lockstep" => Voting::Lockstep { device: 0 },
        "unprotected" => Voting::Unprotected,
        other => {
            let reason = format!(
                "\"{other}\" is unknown, it can be \"arbitrator\", \"distributed\", \
                 \"lockstep\", \"unprotected\""
            );
            reader.problem(&keys.place, "voting", reason);
            return Voting::default();
        }
    };
    if let Some(more) = more {
        reader.finish(more);
    }
    voting
}

/// Scrub period where none is written, in nanoseconds.
const SCRUB_PERIOD: u64 = 1_000_000_000;

/// The key of a set that was given none: the same in every build of the same system, so
/// that hashes compare between replicas and between runs.
fn derived_key(system: &str, set: &str) -> [u64; 4] {
    let mut hash = Sha256::new();
    hash.update(system.as_bytes());
    hash.update([0]);
    hash.update(set.as_bytes());
    words(&hash.finalize())
}

fn parse_key(text: &str) -> Option<[u64; 4]> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digits: String = digits.iter().map(|digit| char::from(*digit)).collect();
        *byte = u8::from_str_radix(&digits, 16).ok()?;
    }
    Some(words(&bytes))
}

fn words(bytes: &[u8]) -> [u64; 4] {
    let mut words = [0; 4];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks(8)) {
        *word = chunk
            .iter()
            .rev()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    }
    words
}
