//! Dirty bits at commit: a page that every job writes is hashed in every epoch.
//!
//! A processor that still holds a page's translation from the job before does not set
//! the dirty bit again. The replica here is the only program of its sandbox and takes
//! no exits, so nothing but the kernel's own flush drops translations between its jobs.
use std::collections::BTreeSet;
use tern_tests::{Built, Platform, Running, on_each_machine};
use tern_trace::{Core, Event};
use tern_units::PageNumber;

/// Epochs that are looked at.
const EPOCHS: usize = 5;

/// Three replicas and an arbitrator, with periods of eight times `unit`, in milliseconds.
fn system(unit: u32) -> String {
    let ms = |units: u32| format!("{}ms", units * unit);
    let (period, budget, wcet) = (ms(8), ms(2), ms(1));
    let (ballot, verdict) = (ms(3), ms(6));
    let mut text = String::from("[system]\nname = \"dirty\"\n");
    for (core, name) in ["alpha", "beta", "gamma", "arbitrator"].iter().enumerate() {
        let runs = match *name {
            "arbitrator" => format!("deadline = \"{ballot}\"\nvoter = \"load\""),
            _ => "replica = \"load\"".into(),
        };
        text += &format!(
            r#"
            [[sandbox]]
            name = "{name}"
            core = {core}
            memory = "8MiB"
            [[sandbox.server]]
            name = "server"
            budget = "{budget}"
            period = "{period}"
            [[sandbox.server.thread]]
            name = "thread"
            wcet = "{wcet}"
            period = "{period}"
            {runs}
            "#
        );
    }
    text + &format!(
        r#"
        [[replica_set]]
        name = "load"
        program = "load"
        argument = 1
        voting = "arbitrator"
        period = "{period}"
        ballot_deadline = "{ballot}"
        verdict_deadline = "{verdict}"
        scrub_period = "10s"
        "#
    )
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

fn every_epoch_hashes_the_same_pages(platform: Platform) {
    // QEMU's cores share the time of one, and some translate an instruction at a time.
    let unit = match platform {
        Platform::Qemu(_) => 50,
        Platform::Bochs(_) => 5,
    };
    let mut machine = Running::start(&Built::parse(&system(unit)), platform);
    machine.until("enough epochs", |machine| {
        let core = machine.trace(0);
        assert_eq!(core.dropped, 0);
        hashed(&core).len() >= EPOCHS
    });
    let epochs = hashed(&machine.trace(0));
    // The context page, the program's state, its output and its stack.
    assert!(epochs[0].len() >= 4, "{:?}", epochs[0]);
    for (epoch, pages) in (1..).zip(&epochs) {
        assert_eq!(pages, &epochs[0], "{platform}: epoch {epoch} of {epochs:?}");
    }
}

on_each_machine! {
    a_page_that_every_job_writes_is_hashed_in_every_epoch => every_epoch_hashes_the_same_pages;
}
