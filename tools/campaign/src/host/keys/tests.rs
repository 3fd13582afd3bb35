//! The list of keys against the reader of descriptions.
use super::{BESIDE, MET, PARTS};
use std::collections::BTreeSet;
use tern_config::Description;

/// A key that is near no other, so that the reader says which there are.
const UNKNOWN: &str = "qqqqqqqqqqqqqqqqqqqqqqqqqqqqqq = 1";

/// A description with such a key in the table of each kind.
fn text() -> String {
    format!(
        "{UNKNOWN}\n\
         [system]\nname = \"x\"\n{UNKNOWN}\n\
         [machine]\ncores = 4\nmemory = \"1GiB\"\n{UNKNOWN}\n\
         [[device]]\nname = \"d\"\nport = 0x2f8\ninterrupt = 3\n{UNKNOWN}\n\
         [[sandbox]]\nname = \"s\"\ncore = 0\n{UNKNOWN}\n\
         [[sandbox.server]]\nname = \"v\"\nbudget = \"1ms\"\nperiod = \"2ms\"\n{UNKNOWN}\n\
         [[sandbox.server.thread]]\nname = \"t\"\nwcet = \"1ms\"\nperiod = \"2ms\"\n\
         jobs = [{{ at = \"1ms\", work = \"1ms\", {UNKNOWN} }}]\n{UNKNOWN}\n\
         [[channel]]\nname = \"c\"\nwriter = \"s\"\nreaders = []\nsize = \"4KiB\"\n{UNKNOWN}\n\
         [[replica_set]]\nname = \"r\"\nprogram = \"p\"\nperiod = \"50ms\"\n\
         ballot_deadline = \"20ms\"\nverdict_deadline = \"30ms\"\n\
         recovery = [{{ kind = \"safe-stop\", {UNKNOWN} }}]\n{UNKNOWN}\n"
    )
}

/// The tables in the order of [`text`].
const TABLES: [&str; 10] = [
    "",
    "system",
    "machine",
    "device",
    "sandbox",
    "server",
    "jobs",
    "thread",
    "channel",
    "replica_set",
];

#[test]
fn every_key_that_the_reader_knows_is_in_the_list_and_no_other() {
    let problems = Description::parse("x.toml", &text()).unwrap_err();
    let marker = "the keys here are ";
    let mut read: Vec<(usize, String)> = Vec::new();
    for problem in &problems.list {
        if let Some((_, keys)) = problem.reason.split_once(marker) {
            read.push((problem.line, keys.to_owned()));
        }
    }
    // The problems come by line; the two inner tables stand in lines of their own.
    let mut tables: Vec<&str> = TABLES.to_vec();
    tables.insert(tables.len() - 1, "recovery");
    assert_eq!(read.len(), tables.len(), "{read:?}");
    let read = tables.iter().zip(&read);
    let read: BTreeSet<(&str, &str)> = read
        .flat_map(|(table, (_, keys))| keys.split(", ").map(move |key| (*table, key)))
        .collect();
    let listed = MET.iter().chain(&PARTS).chain(&BESIDE);
    let listed: BTreeSet<(&str, &str)> = listed.map(|(table, key, _)| (*table, *key)).collect();
    let missing: Vec<_> = read.difference(&listed).collect();
    assert!(
        missing.is_empty(),
        "not said what they are to a bound: {missing:?}"
    );
    let unknown: Vec<_> = listed.difference(&read).collect();
    assert!(unknown.is_empty(), "no such key: {unknown:?}");
}
