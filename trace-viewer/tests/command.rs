//! The command as scripts use it: statuses, and what goes to which stream.
mod common;

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use common::{
    Replica, core, healthy, repaired, replica, ring, simulated, trace_of_system, with_alpha,
};
use tern_trace::{Core, Event, Mode, Trace};

/// A file that is gone when the test is over.
struct File(PathBuf);

impl File {
    fn of(name: &str, bytes: &[u8]) -> Self {
        let name = format!("tern-{}-{name}.trace", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }

    fn trace(name: &str, trace: &Trace) -> Self {
        Self::of(name, &trace.to_bytes())
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn tern(arguments: &[&str]) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(env!("CARGO_BIN_EXE_tern"))
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        status.code().expect("it is not ended by a signal"),
        text(stdout),
        text(stderr),
    )
}

/// A thread that asks for 5 ms of 10 has 2.
fn late() -> Trace {
    let text = r#"
        [system]
        name = "late"
        [[sandbox]]
        name = "alpha"
        core = 0
          [[sandbox.server]]
          name = "server"
          budget = "2ms"
          period = "10ms"
            [[sandbox.server.thread]]
            name = "thread"
            wcet = "5ms"
            period = "10ms"
    "#;
    simulated(text, 50)
}

fn lossy() -> Trace {
    let small = ring(replica(10), Mode::Stream, 64);
    with_alpha(Core::from_words("alpha", &small, &[40]))
}

/// One replenishment returns a nanosecond early.
fn nonconforming() -> Trace {
    let mut events = replica(10);
    for (at, event) in &mut events {
        if let (101_000, Event::ReplenishPosted { at, .. }) = (*at, event) {
            *at = tern_units::Instant::from_nanos(at.as_nanos() - 1);
        }
    }
    with_alpha(core("alpha", events, &[40]))
}

/// Half of a sandbox's records are 50 ms early: the second half.
fn backwards() -> Trace {
    let mut trace = healthy();
    let records = &mut trace.cores[1].records;
    let half = records.len() / 2;
    for record in &mut records[half..] {
        if record.kind != tern_trace::Kind::Continuation {
            record.tsc -= 50_000_000;
        }
    }
    trace
}

/// No thread has a job that is promised to take a microsecond at most.
fn above() -> Trace {
    let mut trace = healthy();
    let promises = trace.promises.as_mut().unwrap();
    promises.sandboxes[2].threads[1] = Some(tern_units::Duration::from_micros(1));
    trace
}

#[test]
fn statuses_are_those_of_the_documentation() {
    let healthy_bytes = healthy().to_bytes();
    let good = File::trace("good", &healthy());
    let late = File::trace("late", &late());
    let lossy = File::trace("lossy", &lossy());
    let nonconforming = File::trace("nonconforming", &nonconforming());
    let backwards = File::trace("backwards", &backwards());
    let (page, rows) = (File::of("page", b""), File::of("rows", b""));
    let above = File::trace("above", &above());
    let impossible = "no machine can have written it: sandbox beta, record 132 at 190.000000ms: \
                      time runs backwards, by 50ms";
    let truncated = File::of("truncated", &healthy_bytes[..healthy_bytes.len() - 1]);
    let other = File::of("other", b"#!/bin/sh\n");
    for (arguments, status, said) in [
        (&["summary", good.path()][..], 0, ""),
        (&["summary", "--json", good.path()], 0, ""),
        (&["conformance", good.path()], 0, ""),
        (&["dump", good.path()], 0, ""),
        (&["explain", good.path()], 0, ""),
        (&["summary", late.path()], 1, ""),
        (&["summary", lossy.path()], 3, "records dropped"),
        (&["conformance", lossy.path()], 3, "records dropped"),
        (&["dump", lossy.path()], 3, "records dropped"),
        (&["explain", lossy.path()], 3, "records dropped"),
        (&["summary", truncated.path()], 3, "is truncated"),
        (&["conformance", nonconforming.path()], 4, ""),
        (&["summary", backwards.path()], 3, impossible),
        (&["conformance", backwards.path()], 3, impossible),
        (&["explain", backwards.path()], 3, impossible),
        (&["dump", backwards.path()], 3, impossible),
        (&["diff", good.path(), backwards.path()], 3, impossible),
        (&["diff", backwards.path(), good.path()], 3, impossible),
        (
            &["report", backwards.path(), "-o", page.path()],
            3,
            impossible,
        ),
        (
            &["export", backwards.path(), "-f", "csv", "-o", rows.path()],
            3,
            impossible,
        ),
        (
            &["export", backwards.path(), "-f", "json", "-o", rows.path()],
            3,
            impossible,
        ),
        (
            &[
                "export",
                backwards.path(),
                "-f",
                "perfetto",
                "-o",
                rows.path(),
            ],
            3,
            impossible,
        ),
        (&["summary", above.path()], 1, ""),
        (&["conformance", above.path()], 1, ""),
        (&["explain", above.path()], 1, ""),
        (&["report", above.path(), "-o", page.path()], 1, ""),
        (&["summary"], 64, "Usage"),
        (&["frobnicate"], 64, "frobnicate"),
        (
            &["dump", good.path(), "--kind", "relese"],
            64,
            "no kind is named relese; there are release, switch",
        ),
        (
            &["dump", good.path(), "--sandbox", "delta"],
            64,
            "alpha, beta, gamma, arbitrator",
        ),
        (
            &["explain", good.path(), "--sandbox", "delta"],
            64,
            "no sandbox is named delta; there are alpha, beta, gamma, arbitrator",
        ),
        (
            &["explain", good.path(), "--thread", "voter", "--job", "99"],
            64,
            "job 99 is not in the trace",
        ),
        (
            &["explain", good.path(), "--thread", "nobody"],
            64,
            "no thread is named nobody; there are controller, attitude, voter",
        ),
        (&["summary", other.path()], 65, "is no Tern trace"),
        (&["summary", "/nowhere/at/all.trace"], 65, "cannot be read"),
    ] {
        let (code, _, stderr) = tern(arguments);
        assert_eq!(code, status, "{arguments:?} said {stderr}");
        assert!(stderr.contains(said), "{arguments:?} said {stderr}");
        assert!(
            !said.is_empty() || stderr.is_empty(),
            "{arguments:?} said {stderr}"
        );
    }
}

/// Each sub-command that prints, with the status that it ends with where it can.
fn printing(trace: &str, late: &str) -> Vec<(Vec<String>, i32)> {
    let system = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/systems/load/system.toml"
    );
    let out = format!("{trace}.out");
    let simulate = ["simulate", "--until", "10ms", system];
    let lines: [(&[&str], i32); 16] = [
        (&["--help"], 0),
        (&["summary", "--help"], 0),
        (&["--version"], 0),
        (&["check", system], 0),
        (&["check", "--json", system], 0),
        (&simulate, 0),
        (&[&simulate[..], &["--json"]].concat(), 0),
        (&["summary", late], 1),
        (&["summary", "--json", late], 1),
        (&["conformance", trace], 0),
        (&["explain", trace], 0),
        (&["dump", trace], 0),
        (&["diff", trace, trace], 0),
        (&["diff", "--json", trace, trace], 0),
        (&["report", late, "-o", &out], 1),
        (&["export", trace, "-f", "csv", "-o", &out], 0),
    ];
    let owned = |words: &[&str]| words.iter().map(ToString::to_string).collect();
    lines.map(|(words, status)| (owned(words), status)).into()
}

#[test]
fn an_output_that_cannot_be_written_is_an_error_and_a_closed_pipe_is_none() {
    let (good, late) = (
        File::trace("full", &healthy()),
        File::trace("full-late", &late()),
    );
    let _out = File::of("full.trace.out", b"");
    let end = |arguments: &[String], stdout: Stdio, stderr: Stdio| {
        let mut tern = Command::new(env!("CARGO_BIN_EXE_tern"));
        let output = tern.args(arguments).stdout(stdout).stderr(stderr).spawn();
        let output = output.unwrap().wait_with_output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let full = || {
        Stdio::from(
            std::fs::File::options()
                .write(true)
                .open("/dev/full")
                .unwrap(),
        )
    };
    let closed = || Stdio::from(std::io::pipe().unwrap().1);
    for (arguments, status) in printing(good.path(), late.path()) {
        let (code, said) = end(&arguments, full(), Stdio::piped());
        assert_eq!(code, Some(74), "{arguments:?} said {said}");
        assert!(
            said.starts_with("tern: the output: cannot be written: "),
            "{said}"
        );
        let (code, said) = end(&arguments, closed(), Stdio::piped());
        assert_eq!((code, said.as_str()), (Some(status), ""), "{arguments:?}");
        assert_eq!(end(&arguments, full(), full()).0, Some(74), "{arguments:?}");
    }
    let missing = ["summary".to_string(), "/nowhere/at/all.trace".to_string()];
    assert_eq!(end(&missing, Stdio::piped(), full()).0, Some(65));
}

#[test]
fn a_trace_without_servers_conforms_to_nothing() {
    let mut system = common::system();
    system.sandboxes.truncate(1);
    system.sandboxes[0].servers.clear();
    system.replica_sets.clear();
    let script = common::Script::boot(&[], 0);
    let trace = trace_of_system(&system, vec![core("alpha", script.0, &[])]);
    let file = File::trace("guests", &trace);
    let (code, text, said) = tern(&["conformance", file.path()]);
    assert_eq!(
        (code, text.as_str()),
        (65, "verdict: no server was checked\n")
    );
    assert!(said.contains("its system has no servers"), "{said}");
}

/// What took longer than was promised comes first, in each command that shows figures.
#[test]
fn a_response_above_its_bound_is_said_first() {
    let above = File::trace("above-first", &above());
    let first = "above its bound: gamma attitude job 24 took 1ms, its bound is 1us (25 such jobs)";
    for (command, line) in [("summary", 1), ("conformance", 0), ("explain", 0)] {
        let (_, text, _) = tern(&[command, above.path()]);
        assert_eq!(text.lines().nth(line), Some(first), "{command}: {text}");
    }
    let (_, text, _) = tern(&["conformance", "--json", above.path()]);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["exceeded"][0]["response_ns"], 1_000_000);
    assert_eq!(json["servers"][0]["violations"], serde_json::json!([]));
}

#[test]
fn json_carries_the_same_numbers_as_the_tables() {
    let file = File::trace("json", &repaired());
    let (_, text, _) = tern(&["summary", "--json", file.path()]);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["sandboxes"][1]["sandbox"], "beta");
    assert_eq!(
        json["sandboxes"][1]["threads"][0]["response"]["max_ns"],
        5_000_000
    );
    assert_eq!(json["votes"][0]["minority"], 2);
    assert_eq!(json["repairs"][0]["pages"], serde_json::json!([4, 9, 70]));
    assert_eq!(json["repairs"][0]["rejoined_epoch"], 5);
}

#[test]
fn a_dump_has_one_line_a_record_in_the_order_of_time() {
    let file = File::trace("dump", &repaired());
    let arguments = [
        "dump",
        file.path(),
        "--from",
        "170",
        "--to",
        "183",
        "--kind",
    ];
    let (_, text, _) = tern(&[&arguments[..], &["vote,repair-start,repair-page"]].concat());
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    let expected = [
        "170.500000ms arbitrator 36 vote controller epoch 3 minority against beta, donor alpha, witness gamma",
        "182.000000ms beta 110 repair-start controller 3 pages differing",
        "182.300000ms beta 111 repair-page controller page 4",
        "182.600000ms beta 112 repair-page controller page 9",
    ];
    let expected: Vec<Vec<&str>> = expected.iter().map(|l| l.split(' ').collect()).collect();
    assert_eq!(lines, expected);
}

#[test]
fn an_explanation_names_who_had_the_core() {
    let file = File::trace("explain", &healthy());
    let (_, text, _) = tern(&[
        "explain",
        file.path(),
        "--sandbox",
        "beta",
        "--thread",
        "controller",
    ]);
    assert!(text.starts_with("beta controller job 8\n"), "{text}");
    assert!(text.contains("(response 5ms)"), "{text}");
    assert!(text.contains("(45ms to spare)"), "{text}");
    assert!(
        text.contains("attitude had the core for 1ms meanwhile"),
        "{text}"
    );
}

#[test]
fn a_report_is_written_and_its_status_is_the_summarys() {
    for (name, trace, status) in [("well", healthy(), 0), ("bad", lossy(), 3)] {
        let file = File::trace(name, &trace);
        let page = File::of(&format!("{name}-page"), b"");
        let (code, text, _) = tern(&["report", file.path(), "--output", page.path()]);
        assert_eq!(code, status, "{name}");
        assert!(text.starts_with(page.path()), "{text}");
        assert!(
            std::fs::read_to_string(&page.0)
                .unwrap()
                .contains("<canvas")
        );
    }
    let file = File::trace("unwritable", &healthy());
    assert_eq!(
        tern(&["report", file.path(), "-o", "/nowhere/page.html"]).0,
        74
    );
}

#[test]
fn exports_are_written_beside_the_trace_unless_told_otherwise() {
    let file = File::trace("export", &healthy());
    for (format, extension, begins) in [
        ("csv", "csv", "time_ns,"),
        ("json", "jsonl", "{\"argument\":"),
        ("perfetto", "pftrace", "\n"),
    ] {
        assert_eq!(
            tern(&["export", file.path(), "--format", format]).0,
            0,
            "{format}"
        );
        let written = File(file.0.with_extension(extension));
        let bytes = std::fs::read(&written.0).unwrap();
        assert!(bytes.starts_with(begins.as_bytes()), "{format}");
    }
    assert_eq!(tern(&["export", file.path(), "--format", "xml"]).0, 64);
    let lossy = File::trace("export-lossy", &lossy());
    let page = File::of("export-page", b"");
    let arguments = [
        "export",
        lossy.path(),
        "--format",
        "csv",
        "--output",
        page.path(),
    ];
    let (code, _, stderr) = tern(&arguments);
    assert_eq!(code, 3);
    assert!(stderr.contains("sandbox alpha"), "{stderr}");
}

#[test]
fn a_run_that_got_worse_is_a_regression() {
    let good = File::trace("diff-good", &healthy());
    let repaired = File::trace("diff-repaired", &repaired());
    let lossy = File::trace("diff-lossy", &lossy());
    // Attitude's job 3 takes 2 ms instead of 1, everywhere else nothing changes.
    let alpha = Replica {
        length: |job| if job == 3 { 2_000 } else { 1_000 },
        ..Replica::default()
    };
    let trace = with_alpha(core("alpha", alpha.records(10), &[40]));
    let slow = File::trace("diff-slow", &trace);
    let diff = |before: &File, after: &File| tern(&["diff", before.path(), after.path()]);

    assert_eq!(diff(&good, &good).0, 0);
    assert_eq!(diff(&good, &repaired).0, 0, "a repair is no regression");
    let (code, text, _) = diff(&good, &slow);
    assert_eq!(code, 2);
    let worse: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("worse"))
        .collect();
    assert_eq!(
        worse,
        ["worse: alpha attitude: maximum response 2ms, before 1ms"]
    );
    assert_eq!(diff(&slow, &good).0, 0);
    let tolerant = ["diff", good.path(), slow.path(), "--micros", "3000"];
    assert_eq!(tern(&tolerant).0, 0);
    assert_eq!(diff(&good, &lossy).0, 3);
    let (_, json, _) = tern(&["diff", "--json", good.path(), slow.path()]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        json["threads"][1]["max_ns"],
        serde_json::json!([1_000_000, 2_000_000])
    );

    let mut other = common::system();
    other.sandboxes[3].servers[0].threads[0].name = "judge".to_string();
    let gone = trace_of_system(&other, healthy().cores);
    let gone = File::trace("diff-gone", &gone);
    let (code, text, _) = diff(&good, &gone);
    assert_eq!(code, 2);
    assert!(
        text.contains("arbitrator voter: not in the second run"),
        "{text}"
    );
}
