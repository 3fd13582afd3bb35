//! Whoever builds or boots a system is told where it was checked without a machine's costs.
use std::path::Path;
use std::process::Command;

/// A job of 2 ms in 1.99 ms of every 10: no machine keeps its deadlines, so that nothing is built.
const TOO_MUCH: &str = r#"
[system]
name = "too-much"
[[sandbox]]
name = "s"
core = 0
memory = "16MiB"
server = [ { name = "a", budget = "1.99ms", period = "10ms", thread = [
  { name = "t", wcet = "2ms", period = "10ms", program = "load" } ] } ]
"#;

/// What the command with these words says on standard error; it has to fail.
fn said(words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let output = command.args(words).output().expect("it starts");
    assert_eq!(output.status.code(), Some(1), "{words:?}");
    String::from_utf8(output.stderr).expect("it is text")
}

#[test]
fn a_system_that_was_checked_without_costs_says_so_and_another_does_not() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join("too-much.toml");
    std::fs::write(&file, TOO_MUCH).expect("it can be written");
    let (file, image) = (
        file.display().to_string(),
        folder.join("image").display().to_string(),
    );
    for words in [
        vec!["image", &file, "-o", &image],
        vec!["iso", &file, "-o", &image],
    ] {
        let counted = [&words[..], &["--machine", "bochs-intel"]].concat();
        let (without, with) = (said(&words), said(&counted));
        let line = format!("{file}: costs not counted");
        assert!(without.contains(&line), "{words:?}: {without}");
        assert!(!with.contains("costs not counted"), "{words:?}: {with}");
        assert!(with.contains("NOT SCHEDULABLE"), "{words:?}: {with}");
    }
}
