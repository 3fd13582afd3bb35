//! The command: its JSON, its exit codes, and that it is quick.
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::descriptions::{MS, head, late, server, thread};

/// A file that is gone when the test is over.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("tern-check-{}-{name}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn tern(arguments: &[&str], file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tern"))
        .args(arguments)
        .arg(file)
        .output()
        .unwrap()
}

#[test]
fn json_has_the_documented_form() {
    let text = late()
        + &server(
            "d",
            "1ms",
            "100ms",
            &thread("t", "wcet = \"2ms\"\nperiod = \"300ms\"\ndeadline = \"1s\""),
        );
    let file = File::new("json", &text);
    let output = tern(&["check", "--json"], &file.0);
    assert_eq!(output.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let server = |name: &str, response: u64, deadline: u64| {
        serde_json::json!({
            "sandbox": "s", "name": name, "response_ns": response * MS,
            "gave_up": false, "deadline_ns": deadline * MS, "schedulable": response <= deadline,
        })
    };
    assert_eq!(json["schedulable"], false);
    let servers = [
        server("a", 10, 30),
        server("b", 20, 40),
        server("c", 52, 50),
        server("d", 75, 100),
    ];
    assert_eq!(json["servers"], serde_json::json!(servers));
    assert_eq!(
        json["threads"],
        serde_json::json!([{
            "sandbox": "s", "server": "d", "name": "t", "response_ns": 175 * MS,
            "bound": "busy-window", "gave_up": false, "deadline_ns": 1000 * MS, "schedulable": true,
        }])
    );
    assert_eq!(json["recovery"], serde_json::json!([]));
}

#[test]
fn exit_codes_tell_what_came_of_it() {
    let good = File::new("good", &(head() + &server("a", "1ms", "10ms", "")));
    let bad = File::new("bad", &late());
    let invalid = File::new("invalid", &(head() + &server("a", "20ms", "10ms", "")));
    let platform = File::new(
        "platform",
        &late().replacen("name = \"x\"", "name = \"x\"\nplatform = \"nowhere\"", 1),
    );
    for (arguments, file, status) in [
        (vec!["check"], good.0.as_path(), 0),
        (vec!["check"], &bad.0, 1),
        (vec!["check", "--json"], &bad.0, 1),
        (vec!["check"], &invalid.0, 65),
        (vec!["check", "--json"], &invalid.0, 65),
        (vec!["check"], &platform.0, 65),
        (vec!["check"], Path::new("no-such-file.toml"), 65),
        (vec!["check", "--jason"], &good.0, 64),
    ] {
        let output = tern(&arguments, file);
        assert_eq!(
            output.status.code(),
            Some(status),
            "{arguments:?} {}",
            file.display()
        );
        assert_eq!(
            output.stdout.is_empty(),
            status > 1,
            "{arguments:?} {}",
            file.display()
        );
    }
    let problems = String::from_utf8(tern(&["check"], &invalid.0).stderr).unwrap();
    let expected = format!(
        "{}:8: sandbox.s.server.a.budget: 20ms is above the period, 10ms\n",
        invalid.0.display()
    );
    assert_eq!(problems, expected);
}

#[test]
fn a_thousand_servers_are_checked_at_once() {
    let mut text = head();
    for index in 0..1000 {
        text += &server(&index.to_string(), "10us", &format!("{}ms", 20 + index), "");
    }
    let file = File::new("thousand", &text);
    let output = tern(&["check", "--json"], &file.0);
    assert_eq!(output.status.code(), Some(0));
}
