//! Exports of hand-made traces, read back by independent means.
mod common;

use std::collections::BTreeMap;

use common::{healthy, repaired, simulated, sound};
use trace_viewer::export::{csv, json_lines};
use trace_viewer::perfetto::perfetto;

#[test]
fn csv_has_a_line_a_record_and_quotes_what_must_be() {
    let text = csv(&repaired());
    let mut lines = text.lines();
    let titles = "time_ns,tsc,sandbox,kind,flags,object,argument,wide,text";
    assert_eq!(lines.next(), Some(titles));
    let vote = "170500000,5170500000,arbitrator,vote,1,0,3,562949953421314,\
                \"controller epoch 3 minority against beta, donor alpha, witness gamma\"";
    assert!(text.lines().any(|line| line == vote), "{vote}");
    // Three replicas with 4 records at boot, 25 x 6 of attitude and 75 of the controller; 16 of
    // the repair; the arbitrator's 2 and 10 x 8. A record's second is not a line of its own.
    assert_eq!(lines.count(), 3 * (4 + 150 + 75) + 16 + 2 + 80);
}

#[test]
fn json_lines_are_objects_with_the_same_fields() {
    let text = json_lines(&healthy());
    let objects: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let posted = objects
        .iter()
        .find(|object| object["kind"] == "replenish-posted")
        .unwrap();
    assert_eq!(posted["sandbox"], "alpha");
    assert_eq!(posted["time_ns"], 1_000_000);
    assert_eq!(
        (&posted["argument"], &posted["wide"]),
        (&1_000_000.into(), &20_000_000.into())
    );
    assert_eq!(posted["text"], "attitude 1ms returns at 20.000000ms");
    assert_eq!(objects.len(), csv(&healthy()).lines().count() - 1);
}

/// The fields of a protobuf message: number, and a number or bytes.
fn fields(mut bytes: &[u8]) -> Vec<(u64, u64, &[u8])> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let (&byte, rest) = bytes.split_first().expect("a whole number");
            *bytes = rest;
            value |= u64::from(byte & 0x7F) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    }
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let value = varint(&mut bytes);
        found.push(match tag & 7 {
            0 => (tag >> 3, value, &[][..]),
            2 => {
                let (content, rest) = bytes.split_at(value as usize);
                bytes = rest;
                (tag >> 3, 0, content)
            }
            other => panic!("wire type {other} is not written"),
        });
    }
    found
}

fn number(message: &[(u64, u64, &[u8])], field: u64) -> Option<u64> {
    message
        .iter()
        .find(|found| found.0 == field)
        .map(|found| found.1)
}

fn text(message: &[(u64, u64, &[u8])], field: u64) -> String {
    let bytes = message
        .iter()
        .find(|found| found.0 == field)
        .map_or(&[][..], |found| found.2);
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// For each track's name (with its parent's before it): time, type, name or value.
fn tracks(file: &[u8]) -> BTreeMap<String, Vec<(u64, u64, String)>> {
    let mut names = BTreeMap::new();
    let mut events: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for (field, _, packet) in fields(file) {
        assert_eq!(field, 1, "a trace has packets alone");
        let packet = fields(packet);
        assert_eq!(
            number(&packet, 10),
            Some(1),
            "every packet is of the one sequence"
        );
        for &(field, _, content) in &packet {
            let content = fields(content);
            match field {
                60 => {
                    let parent = number(&content, 5).map(|parent| format!("{}/", names[&parent]));
                    let name = parent.unwrap_or_default() + &text(&content, 2);
                    names.insert(number(&content, 1).unwrap(), name);
                }
                11 => {
                    let track = names[&number(&content, 11).unwrap()].clone();
                    let value = number(&content, 30).map(|value| value.to_string());
                    let event = (
                        number(&packet, 8).unwrap(),
                        number(&content, 9).unwrap(),
                        value.unwrap_or_else(|| text(&content, 23)),
                    );
                    events.entry(track).or_default().push(event);
                }
                _ => {}
            }
        }
    }
    events
}

#[test]
fn perfetto_gets_each_thread_and_budget_on_a_track_of_its_own() {
    let tracks = tracks(&perfetto(&sound(&repaired())));
    // Times count from the first record, at -0.95 ms.
    let runs = &tracks["alpha/controller runs"];
    assert_eq!(runs[0], (1_950_000, 1, "controller".to_string()));
    assert_eq!(runs[1], (5_950_000, 2, String::new()));
    assert_eq!(runs.len(), 20);
    assert_eq!(
        tracks["alpha/controller jobs"][0],
        (950_000, 1, "controller 0".to_string())
    );
    let budget = &tracks["alpha/budget control, ns"];
    assert_eq!(budget[0], (950_000, 4, "10000000".to_string()));
    assert_eq!(budget[2], (5_950_000, 4, "6000000".to_string()));
    let marks = &tracks["beta/votes and repairs"];
    assert_eq!(
        marks[1],
        (
            183_250_000,
            3,
            "page repaired: controller page 4".to_string()
        )
    );
    for (name, events) in &tracks {
        let slices: Vec<_> = events.iter().filter(|event| event.1 <= 2).collect();
        for pair in slices.chunks(2) {
            assert_eq!(
                (pair[0].1, pair[1].1),
                (1, 2),
                "{name}: begin and end take turns"
            );
            assert!(pair[0].0 <= pair[1].0, "{name}");
        }
        assert!(
            slices.windows(2).all(|pair| pair[0].0 <= pair[1].0),
            "{name}: in order"
        );
    }
}

#[test]
fn overlapping_jobs_are_on_tracks_side_by_side() {
    // Job 0 takes 25 ms of a period of 20, job 1 the next 5; job 2 has what is left.
    let text = r#"
        [system]
        name = "late"
        [[sandbox]]
        name = "alpha"
        core = 0
          [[sandbox.server]]
          name = "attitude"
          budget = "20ms"
          period = "20ms"
            [[sandbox.server.thread]]
            name = "attitude"
            deadline = "20ms"
            jobs = [
                { at = "0ms", work = "25ms" },
                { at = "20ms", work = "5ms" },
                { at = "40ms", work = "30ms" },
            ]
    "#;
    let trace = simulated(text, 61);
    let tracks = tracks(&perfetto(&sound(&trace)));
    let names: Vec<_> = tracks["alpha/attitude jobs"]
        .iter()
        .map(|event| (event.0, event.2.as_str()))
        .collect();
    // The two tracks have one name, so their events are together here.
    assert_eq!(
        names,
        [
            (0, "attitude 0 MISSED"),
            (25_000_000, ""),
            (20_000_000, "attitude 1"),
            (30_000_000, ""),
            (40_000_000, "attitude 2 not complete MISSED"),
            (61_000_000, ""),
        ]
    );
}
