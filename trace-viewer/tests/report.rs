//! The HTML page: complete in itself, and its data what the summary says.
mod common;

use common::{repaired, replica, ring, sound, with_alpha};
use tern_trace::{Core, Mode};
use trace_viewer::report::html;

/// The page's data.
fn data(page: &str) -> serde_json::Value {
    let (_, rest) = page
        .split_once("<script type=\"application/json\" id=\"data\">")
        .unwrap();
    let (json, _) = rest.split_once("</script>").unwrap();
    serde_json::from_str(json).unwrap()
}

/// Doubles out of base64.
fn floats(text: &serde_json::Value) -> Vec<f64> {
    let digits: Vec<u32> = text
        .as_str()
        .unwrap()
        .bytes()
        .filter_map(|byte| match byte {
            b'A'..=b'Z' => Some(byte - b'A'),
            b'a'..=b'z' => Some(byte - b'a' + 26),
            b'0'..=b'9' => Some(byte - b'0' + 52),
            b'+' => Some(62),
            b'/' => Some(63),
            _ => None,
        })
        .map(u32::from)
        .collect();
    let bytes: Vec<u8> = digits
        .chunks(4)
        .flat_map(|group| {
            let value =
                group.iter().fold(0, |value, digit| value << 6 | digit) << (6 * (4 - group.len()));
            value.to_be_bytes()[1..group.len()].to_vec()
        })
        .collect();
    bytes
        .chunks_exact(8)
        .map(|chunk| f64::from_le_bytes(chunk.try_into().unwrap()))
        .collect()
}

#[test]
fn the_page_asks_nobody_for_anything() {
    let page = html(&sound(&repaired()));
    for asks in ["http:", "https:", "src=", "@import", "url(", "fetch(", "{{"] {
        assert!(!page.contains(asks), "{asks}");
    }
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
}

#[test]
fn tracks_hold_the_runs_jobs_and_budgets_of_the_records() {
    let data = data(&html(&sound(&repaired())));
    let alpha = &data["cores"][0];
    let controller = &alpha["threads"][0];
    let runs = floats(&controller["runs"]);
    // The controller runs from 1 to 5 ms, then from 50 to 54 ms.
    assert_eq!(runs[..4], [1e6, 5e6, 50e6, 54e6]);
    assert_eq!(runs.len(), 20);
    let jobs = floats(&controller["jobs"]);
    assert_eq!(jobs[5..10], [1.0, 50e6, 50e6, 54e6, 0.0]);
    let level = floats(&alpha["servers"][0]["level"]);
    let points: Vec<_> = level
        .chunks(2)
        .take(5)
        .map(|p| (p[0] / 1e6, p[1] / 1e6))
        .collect();
    // 10 ms of budget, of which 4 are used from 1 to 5 ms, and used again from 50 ms on,
    // just before those 4 come back at 51 ms.
    assert_eq!(
        points,
        [
            (0.0, 10.0),
            (1.0, 10.0),
            (5.0, 6.0),
            (5.0, 6.0),
            (50.0, 6.0)
        ]
    );
    let kinds: Vec<_> = data["cores"][1]["marks"]
        .as_array()
        .unwrap()
        .iter()
        .collect();
    assert_eq!(kinds.len(), 8);
    assert_eq!(kinds[0]["kind"], "repair starts");
    assert_eq!(data["cores"][3]["marks"][1]["kind"], "vote: minority");
    assert_eq!(floats(&data["cores"][3]["votes"]).len(), 8);
    assert_eq!(
        (&data["status"], &data["verdict"]),
        (&0.into(), &"no deadline missed, every bound held".into())
    );
}

#[test]
fn missing_records_are_shaded_to_the_end_of_the_run() {
    let short = Core::from_words("alpha", &ring(replica(10), Mode::Stream, 64), &[40]);
    let last = *short.records.last().unwrap();
    let trace = with_alpha(short);
    let from = trace.nanos(last.tsc);
    let data = data(&html(&sound(&trace)));
    assert_eq!(
        data["cores"][0]["lost"],
        serde_json::json!([[from, 481_000_000]])
    );
    assert_eq!(data["cores"][1]["lost"], serde_json::json!([]));
    assert_eq!(data["status"], 3);
}

#[test]
fn a_flight_recorder_is_shaded_up_to_its_first_record() {
    let short = Core::from_words("alpha", &ring(replica(10), Mode::Overwrite, 64), &[40]);
    let first = short.records[0];
    let trace = with_alpha(short);
    let lost = serde_json::json!([[0, trace.nanos(first.tsc)]]);
    assert_eq!(data(&html(&sound(&trace)))["cores"][0]["lost"], lost);
}

#[test]
fn names_cannot_break_out_of_the_page() {
    let mut trace = repaired();
    let mut system = common::system();
    system.sandboxes[0].name = "</script><b>".to_string();
    trace.cores[0].sandbox.clone_from(&system.sandboxes[0].name);
    trace.system = postcard::to_allocvec(&system).unwrap();
    let page = html(&sound(&trace));
    assert_eq!(page.matches("</script>").count(), 2);
    assert_eq!(data(&page)["cores"][0]["name"], "</script><b>");
}
