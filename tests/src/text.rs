//! Sandboxes as tests describe them. More keys of the table that comes last may follow.

/// A sandbox with a guest of `tests/systems/guests`; its own table comes last.
#[must_use]
pub fn guest(name: &str, core: usize, kernel: &str, line: &str) -> String {
    format!(
        r#"
        [[sandbox]]
        name = "{name}"
        core = {core}
        memory = "4MiB"
        kernel = "{kernel}"
        command_line = "{line}"
        "#
    )
}

/// A sandbox with a periodic load and its deadlines; its thread's table comes last.
#[must_use]
pub fn load(name: &str, core: usize) -> String {
    format!(
        r#"
        [[sandbox]]
        name = "{name}"
        core = {core}
        memory = "8MiB"
        [[sandbox.server]]
        name = "load"
        budget = "20ms"
        period = "50ms"
        [[sandbox.server.thread]]
        name = "load"
        wcet = "10ms"
        period = "50ms"
        program = "load"
        "#
    )
}
