//! Floods of the console: by two sandboxes that print as much as they can at once, and by a program
//! beside the one who suffers. That one prints a line in each of its jobs, and is in time.
//! In Bochs the serial line is as slow as a real one, 87 us a byte.
use crate::floods::{END, FLOOD, JOBS, Ran, bystander, finish};
use tern_abi::directory::ExitReason;
use tern_tests::{Built, Platform, Running, text};

/// Letters of a line of `guest-hostile`.
const BABBLE: usize = 127;
/// As often at least the program calls that floods.
const LOGS: u64 = 200;

/// The sandbox who suffers: its program says a line in each job.
fn talker(platform: Platform) -> String {
    bystander(platform, "talker", 0).replace("program = \"load\"", "program = \"talk\"")
}

fn system(sandboxes: &str, last_core: usize) -> String {
    "[system]\nname = \"console\"\ntrace = \"1MiB\"\n".to_owned()
        + sandboxes
        + &text::guest("other", last_core, "guest-hello", &END.to_string())
        + "may_shut_down = true\n"
}

fn run(platform: Platform, description: &str) -> Ran {
    let built = Built::parse(description);
    let machine = Running::start_with_slow_console(&built, platform);
    finish(&built, machine)
}

/// The lines of the sandbox called `name`, without its name.
fn said(ran: &mut Ran, name: &str) -> Vec<String> {
    let prefix = format!("[{name}] ");
    let lines = ran.machine.lines().into_iter();
    lines
        .filter_map(|line| line.strip_prefix(&prefix).map(String::from))
        .collect()
}

/// How many bytes the sandbox called `name` has been told that it lost.
fn dropped(ran: &mut Ran, name: &str) -> u64 {
    let lines = said(ran, name).into_iter();
    let counts = lines.filter_map(|line| line.strip_suffix(" bytes dropped")?.parse::<u64>().ok());
    counts.sum()
}

/// Whether `line` is one of a flooding sandbox's, from its beginning to its end. No other has two x
/// in a row.
fn is_whole_babble(line: &str) -> bool {
    ["[first] ", "[second] "]
        .iter()
        .filter_map(|name| line.strip_prefix(name))
        .any(|text| text.len() == BABBLE && text.bytes().all(|byte| byte == b'x'))
}

/// Two sandboxes print 1 KiB at a time without end: the talker is in time, and all that it says is
/// heard.
pub fn from_beside(platform: Platform) {
    let babblers = text::guest("first", 1, "guest-hostile", "console-flood")
        + &text::guest("second", 2, "guest-hostile", "console-flood");
    let mut ran = run(platform, &system(&(talker(platform) + &babblers), 3));
    let lines = ran.machine.lines();
    let place = |wanted: &str| lines.iter().position(|line| line == wanted);
    let at_end = place(&format!("[other] still here {END} ms after the epoch"));
    for job in 0..JOBS {
        let at = place(&format!("[talker] load: job {job} is done"));
        assert!(at.is_some(), "{platform}: job {job}: {lines:#?}");
        // Not only when the run ends: the line is shared by turns.
        assert!(job > 1 || at < at_end, "{platform}: job {job}: {lines:#?}");
    }
    let is_torn = |line: &&String| line.contains("xx") && !is_whole_babble(line);
    let torn: Vec<_> = lines.iter().filter(is_torn).collect();
    assert!(torn.is_empty(), "{platform}: {torn:#?}");
    for (sandbox, name) in [(1, "first"), (2, "second")] {
        let calls = ran.machine.exits(sandbox).of(ExitReason::Hypercall);
        let dropped = dropped(&mut ran, name);
        println!("{platform}: {name}: {calls} calls, {dropped} bytes dropped");
        assert!(
            calls >= FLOOD && dropped >= FLOOD << 9,
            "{platform}: {name}: {calls} calls, {dropped} bytes dropped"
        );
    }
}

/// A program prints long lines without end, in a server of its own: the talker beside it is in
/// time. What they say is the same sandbox's, so that both lose lines, and are told.
pub fn from_within(platform: Platform) {
    let babbler = r#"
        [[sandbox.server]]
        name = "babble"
        budget = "5ms"
        period = "11ms"
        priority = 2
        [[sandbox.server.thread]]
        name = "babble"
        wcet = "3ms"
        period = "1s"
        program = "talk"
        argument = 1000000000
        "#;
    // Whose budget, spent and returned, is met by releases in every phase.
    let first = "period = \"20ms\"\npriority = 1\n";
    let talker = talker(platform).replacen("period = \"20ms\"\n", first, 1);
    let mut ran = run(platform, &system(&(talker + babbler), 1));
    let calls = ran.machine.exits(0).of(ExitReason::Hypercall);
    let dropped = dropped(&mut ran, "talker");
    println!("{platform}: {calls} calls, {dropped} bytes dropped");
    assert!(
        calls >= LOGS && dropped > 0,
        "{platform}: {calls} calls, {dropped} bytes dropped"
    );
}
