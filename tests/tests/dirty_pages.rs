//! Dirty bits at commit: a page that every job writes is hashed in every epoch.
//!
//! A processor that still holds a page's translation from the job before does not set
//! the dirty bit again. The replica here is the only program of its sandbox and takes
//! no exits, so nothing but the kernel's own flush drops translations between its jobs.
use std::collections::BTreeSet;
use std::time::Duration;
use tern_tests::{Built, Emulator, directory};
use tern_trace::{Core, Event};
use tern_units::PageNumber;
use xtask::record;

/// Epochs that are looked at.
const EPOCHS: usize = 5;

fn system() -> String {
    let mut text = String::from("[system]\nname = \"dirty\"\n");
    for (core, name) in ["alpha", "beta", "gamma", "arbiter"].iter().enumerate() {
        let runs = match *name {
            "arbiter" => "deadline = \"150ms\"\nvoter = \"load\"",
            _ => "replica = \"load\"",
        };
        text += &format!(
            r#"
            [[sandbox]]
            name = "{name}"
            core = {core}
            memory = "8MiB"
            [[sandbox.server]]
            name = "server"
            budget = "100ms"
            period = "400ms"
            [[sandbox.server.thread]]
            name = "thread"
            wcet = "40ms"
            period = "400ms"
            {runs}
            "#
        );
    }
    text + r#"
        [[replica_set]]
        name = "load"
        program = "load"
        argument = 1
        voting = "arbitrator"
        period = "400ms"
        ballot_deadline = "150ms"
        verdict_deadline = "300ms"
        scrub_period = "10s"
    "#
}

/// The pages hashed for each ballot, the first epoch aside: its job is also the start.
fn hashed(core: &Core) -> Vec<BTreeSet<PageNumber>> {
    let mut epochs = vec![BTreeSet::new()];
    for event in core.events() {
        match event.unwrap().1 {
            Event::Hash { page, .. } => epochs.last_mut().unwrap().insert(page),
            Event::Ballot { .. } => {
                epochs.push(BTreeSet::new());
                continue;
            }
            _ => continue,
        };
    }
    epochs.pop();
    epochs.split_off(epochs.len().min(1))
}

#[test]
fn a_page_that_every_job_writes_is_hashed_in_every_epoch() {
    let built = Built::parse(&system());
    let mut machine = built.start(Emulator::Qemu10);
    let directory = directory(&mut machine);
    machine
        .wait_for("[alpha] kernel:")
        .unwrap_or_else(|error| panic!("{error}"));
    let alpha = loop {
        machine.monitor.stop().unwrap();
        let core = record::core(&machine.memory, &directory.entries[0], "alpha").unwrap();
        machine.monitor.resume().unwrap();
        assert_eq!((core.dropped, core.damage.as_str()), (0, ""));
        if hashed(&core).len() >= EPOCHS {
            break core;
        }
        machine.check().unwrap();
        std::thread::sleep(Duration::from_millis(300));
    };
    let epochs = hashed(&alpha);
    // The context page, the program's state, its output and its stack.
    assert!(epochs[0].len() >= 4, "{:?}", epochs[0]);
    for (epoch, pages) in (1..).zip(&epochs) {
        assert_eq!(pages, &epochs[0], "epoch {epoch} of {epochs:?}");
    }
}
