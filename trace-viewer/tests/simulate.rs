//! `tern simulate`: its JSON, chart and exit codes.
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const MS: u64 = 1_000_000;

const EXAMPLE: &str = r#"
[system]
name = "example"

[[sandbox]]
name = "s0"
core = 0

  [[sandbox.server]]
  name = "a"
  budget = "10ms"
  period = "40ms"

    [[sandbox.server.thread]]
    name = "t"
    jobs = [{ at = "0ms", work = "3ms" }, { at = "6ms", work = "1s" }]

  [[sandbox.server]]
  name = "b"
  budget = "30ms"
  period = "60ms"
"#;

fn tern(arguments: &[&str], text: &str, name: &str) -> Output {
    let file = format!("tern-simulate-{}-{name}.toml", std::process::id());
    let path: PathBuf = std::env::temp_dir().join(file);
    std::fs::write(&path, text).unwrap();
    let output = run(arguments, &path);
    let _ = std::fs::remove_file(&path);
    output
}

fn run(arguments: &[&str], file: &Path) -> Output {
    let mut tern = Command::new(env!("CARGO_BIN_EXE_tern"));
    tern.arg("simulate")
        .arg(file)
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn json_has_the_documented_form() {
    let output = tern(&["--until", "50ms", "--json"], EXAMPLE, "json");
    assert_eq!(output.status.code(), Some(0));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let ms = |pairs: &[(u64, u64)]| -> Vec<[u64; 2]> {
        pairs
            .iter()
            .map(|(from, to)| [from * MS, to * MS])
            .collect()
    };
    let posted = |pairs: &[(u64, u64)]| -> Vec<serde_json::Value> {
        let one = |(at, amount): &(u64, u64)| serde_json::json!({"at_ns": at * MS, "amount_ns": amount * MS});
        pairs.iter().map(one).collect()
    };
    assert_eq!(
        json,
        serde_json::json!({
            "servers": [
                {
                    "sandbox": "s0", "name": "a",
                    "runs": ms(&[(0, 3), (6, 13), (40, 43), (46, 50)]),
                    "replenishments": posted(&[(40, 3), (46, 7), (80, 3)]),
                },
                {
                    "sandbox": "s0", "name": "b",
                    "runs": ms(&[(3, 6), (13, 40)]),
                    "replenishments": posted(&[(60, 30)]),
                },
            ],
            "jobs": [
                {"sandbox": "s0", "server": "a", "thread": "t", "release_ns": 0, "finish_ns": 3 * MS},
                {"sandbox": "s0", "server": "a", "thread": "t", "release_ns": 6 * MS, "finish_ns": null},
            ],
        })
    );
}

#[test]
fn people_get_a_chart_and_a_table() {
    let output = tern(&["--until", "50ms"], EXAMPLE, "chart");
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        text,
        "\
example: the first 50ms, a column is 1ms
NOT SCHEDULABLE: `tern check` refuses this system and says why
# runs  - runs a little  ^ release  v completion  x both  ! deadline missed

sandbox s0, core 0
       0ns       10ms      20ms      30ms      40ms      50ms
       |         |         |         |         |         |
  a    ###...#######...........................###...####
    t  ^ v   ^     !
  b    ...###.......###########################..........

  thread  jobs  done  late  longest response
  a.t        2     1     1               3ms
"
    );
}

#[test]
fn what_check_refuses_is_simulated_and_said() {
    let overload = EXAMPLE.replace("\"10ms\"", "\"39ms\"");
    let output = tern(&["--until", "200ms", "--json"], &overload, "overload");
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("not schedulable"), "{said}");
    let jobs = "jobs = [{ at = \"0ms\", work = \"3ms\" }, { at = \"6ms\", work = \"1s\" }]";
    let calm = EXAMPLE.replace(jobs, "wcet = \"3ms\"\nperiod = \"40ms\"");
    let output = tern(&["--until", "200ms", "--json"], &calm, "calm");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn wrong_usage_and_bad_input_have_their_codes() {
    let endless = "3153600000s";
    for (arguments, text, status, said) in [
        (vec![], EXAMPLE, 64, "--until"),
        (
            vec!["--until", "5"],
            EXAMPLE,
            64,
            "write a number and ns, us, ms or s",
        ),
        (vec!["--until", endless], EXAMPLE, 64, "too long"),
        (
            vec!["--until", "100000000s"],
            EXAMPLE,
            64,
            "choose an earlier end",
        ),
        (vec!["--until", "1s"], "core = 1", 65, "unknown key"),
        (vec!["--until", "0ms"], EXAMPLE, 0, ""),
    ] {
        let output = tern(&arguments, text, &format!("usage{status}{}", said.len()));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            output.status.code(),
            Some(status),
            "{arguments:?}: {stderr}"
        );
        assert!(stderr.contains(said), "{stderr}");
    }
    assert_eq!(
        run(&["--until", "1s"], Path::new("no-such-file.toml"))
            .status
            .code(),
        Some(65)
    );
}

/// Everything that reads the traces of real runs reads a simulated one.
#[test]
fn a_simulated_trace_is_read_like_a_kernels() {
    let file = format!("tern-simulated-{}.trace", std::process::id());
    let trace = std::env::temp_dir().join(file);
    let file = trace.to_str().unwrap();
    let system = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../systems/pendulum/arbitrator-simulated.toml"
    );
    let output = run(&["--until", "1s", "--trace", file], Path::new(system));
    assert_eq!(output.status.code(), Some(0));
    let read = |arguments: &[&str]| {
        let mut tern = Command::new(env!("CARGO_BIN_EXE_tern"));
        let output = tern.args(arguments).arg(file).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {text}");
        text
    };
    let summary: serde_json::Value = serde_json::from_str(&read(&["summary", "--json"])).unwrap();
    let driver = &summary["sandboxes"][3]["threads"][0];
    assert_eq!(driver["thread"], "plant-io");
    assert_eq!(
        driver["released"], 51,
        "its first job and a request an epoch"
    );
    let conformance = read(&["conformance"]);
    assert!(
        conformance.ends_with("verdict: every server kept its rules\n"),
        "{conformance}"
    );
    assert!(read(&["explain", "--thread", "voter"]).contains("plant-io had the core for 200us"));
    let _ = std::fs::remove_file(&trace);

    let output = run(
        &["--until", "1s", "--trace", "/nowhere/x.trace"],
        Path::new(system),
    );
    assert_eq!(output.status.code(), Some(74));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("/nowhere/x.trace: cannot be written"),
        "{said}"
    );
}
