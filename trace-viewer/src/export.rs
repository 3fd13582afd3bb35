//! A trace in other formats: CSV and JSON lines for scripts, and Perfetto's protobuf
//! for its viewer.
use std::fmt::Write as _;

use serde_json::json;
use tern_trace::{Event, Trace};

use crate::describe::describe;
use crate::layout::Layout;

/// One line a record, with a line of titles: time, sandbox, kind, the record's fields,
/// and what they say. Fields with commas or quotes are quoted (RFC 4180).
#[must_use]
pub fn csv(trace: &Trace) -> String {
    let mut text = String::from("time_ns,tsc,sandbox,kind,flags,object,argument,wide,text\n");
    each(trace, |line| {
        let wide = line.wide.map(|wide| wide.to_string()).unwrap_or_default();
        let _ = writeln!(
            text,
            "{},{},{},{},{},{},{},{wide},{}",
            line.at,
            line.record.tsc,
            quoted(line.sandbox),
            line.record.kind.name(),
            line.record.flags,
            line.record.object,
            line.record.argument,
            quoted(&line.text),
        );
    });
    text
}

/// One JSON object a record and line, with the same fields as [`csv`].
#[must_use]
pub fn json_lines(trace: &Trace) -> String {
    let mut text = String::new();
    each(trace, |line| {
        let object = json!({
            "time_ns": line.at,
            "tsc": line.record.tsc,
            "sandbox": line.sandbox,
            "kind": line.record.kind.name(),
            "flags": line.record.flags,
            "object": line.record.object,
            "argument": line.record.argument,
            "wide": line.wide,
            "text": line.text,
        });
        let _ = writeln!(text, "{object}");
    });
    text
}

struct Line<'a> {
    at: i64,
    sandbox: &'a str,
    record: tern_trace::Record,
    wide: Option<u64>,
    text: String,
}

/// Every record that has a meaning, sandbox by sandbox, in the order of writing.
fn each(trace: &Trace, mut visit: impl FnMut(Line<'_>)) {
    let layout = Layout::of(trace);
    for (number, core) in trace.cores.iter().enumerate() {
        for (tsc, event) in core.events().filter_map(Result::ok) {
            let (record, wide) = event.encode(tsc);
            let reason = match event {
                Event::Exit { reason, .. } => trace.exit_reason(reason.into()),
                _ => String::new(),
            };
            visit(Line {
                at: trace.nanos(tsc),
                sandbox: &core.sandbox,
                record,
                wide,
                text: describe((trace.nanos(tsc), event), number, &layout, &reason),
            });
        }
    }
}

fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_string(),
    }
}
