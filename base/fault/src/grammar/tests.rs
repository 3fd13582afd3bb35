//! What the grammar takes, what it refuses, and where its places lead.
use super::*;
use crate::place::Site;
use std::collections::BTreeSet;
use tern_config::{Description, ThreadRef};
use tern_units::Duration;

fn read(text: &str) -> Result<Fault, String> {
    text.parse()
}

#[test]
fn every_target_is_read_and_printed_alike_with_place_and_epoch_or_without() {
    for target in Target::ALL {
        for rest in ["", "@beta", ":epoch=17", "@beta/control:epoch=0"] {
            let text = format!("{target}{rest}");
            assert_eq!(read(&text).unwrap().to_string(), text);
            assert_eq!(read(&text).unwrap().target, target, "{text}");
        }
    }
}

#[test]
fn the_targets_are_those_of_the_documentation_each_once_with_a_line_of_its_own() {
    let documented = "random, none, text, data, heap, stack, register, page=N, silent, endless, \
        late=DURATION, kernel-text, kernel-data, kernel-table, kernel-panic, triple-fault, \
        machine-check, violation, donor, spin, arbitrator-panic, voter, leaf-table, channel, \
        sealed-page, nested-table, stuck, ballot-stale, ballot-twice, ballot-malformed, \
        ballot-flood, forge, device-drop, device-repeat, device-change, device-babble";
    assert_eq!(
        Target::ALL.map(|it| it.about().shape).join(", "),
        documented
    );
    let lines = BTreeSet::from(Target::ALL.map(|it| it.about().line));
    assert_eq!(lines.len(), Target::ALL.len());
}

#[test]
fn values_are_pages_from_1_and_durations_in_units() {
    assert_eq!(read("page=17").unwrap().target, Target::Page(17));
    for (text, nanos) in [
        ("late=25ms", 25_000_000),
        ("late=1.5ms", 1_500_000),
        ("late=1234567ns", 1_234_567),
    ] {
        let fault = read(text).unwrap();
        assert_eq!(fault.target, Target::Late(Duration::from_nanos(nanos)));
        assert_eq!(read(&fault.to_string()), Ok(fault), "{text}");
    }
}

#[test]
fn what_is_wrong_is_said_with_what_there_is() {
    for (text, said) in [
        ("", "there is no ''; there are random, none, text,"),
        ("hea", "there is no 'hea'"),
        ("Heap", "there is no 'Heap'"),
        ("@beta", "there is no ''"),
        ("page", "page takes a value: page=N"),
        ("page=", "pages are counted from 1"),
        ("page=0", "pages are counted from 1"),
        ("page=-1", "pages are counted from 1"),
        ("late", "late takes a value: late=DURATION"),
        ("late=25", "write a number and ns, us, ms or s"),
        ("late=0ms", "that is no time at all"),
        ("heap=3", "heap takes no value, not '3'"),
        ("heap@", "nothing is named after @"),
        ("heap:", "after : stands epoch=N, not ''"),
        ("heap:epoch=x", "after : stands epoch=N"),
        ("heap:job=3", "after : stands epoch=N, not 'job=3'"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(said), "{text}: {error}");
        assert!(error.starts_with(&format!("--fault {text}: ")), "{error}");
    }
}

/// A set of three with a voter behind a device, and a thread that has no part in it.
fn system() -> System {
    let text = include_str!("../../../../systems/pendulum/arbitrator.toml");
    Description::parse("system.toml", text).unwrap().system
}

#[test]
fn a_place_is_what_its_target_asks_for() {
    let system = system();
    let place = |text: &str| read(text).unwrap().place(&system, 0);
    let thread = |sandbox: u32, name: &str| {
        let threads = system.sandboxes[sandbox as usize].threads();
        let mut named = threads.filter(|(_, _, thread)| thread.name == name);
        let (server, thread, _) = named.next().unwrap();
        Ok(Some(Place::Thread(ThreadRef {
            sandbox,
            server,
            thread,
        })))
    };
    assert_eq!(place("heap"), Ok(None));
    assert_eq!(place("heap@beta"), thread(1, "controller"));
    assert_eq!(place("heap@beta/controller"), thread(1, "controller"));
    assert_eq!(place("late=1ms@arbitrator"), thread(3, "voter"));
    assert_eq!(place("late=1ms@arbitrator/plant-io"), thread(3, "plant-io"));
    assert_eq!(place("forge@arbitrator"), thread(3, "voter"));
    assert_eq!(place("spin@gamma"), Ok(Some(Place::Sandbox(2))));
    assert_eq!(place("voter@controller"), Ok(Some(Place::Set(0))));
    assert_eq!(place("device-drop@plant"), Ok(Some(Place::Device(0))));
    let channel = system.channel("controller.alpha").unwrap();
    assert_eq!(
        place("channel@controller.alpha"),
        Ok(Some(Place::Channel(channel)))
    );
}

#[test]
fn a_place_that_the_system_does_not_have_is_refused_with_those_it_has() {
    let system = system();
    for (text, said) in [
        (
            "heap@delta",
            "no sandbox is called 'delta'; there are alpha, beta, gamma, arbitrator",
        ),
        (
            "heap@arbitrator",
            "no replica of the watched set is in 'arbitrator'; its threads are",
        ),
        (
            "heap@beta/telemetry",
            "'beta/telemetry' is no replica of the watched set",
        ),
        (
            "late=1ms@beta/x",
            "beta: no thread is called 'x'; there are",
        ),
        (
            "voter@alpha",
            "no replica set is called 'alpha'; there are controller",
        ),
        ("channel@log", "no channel is called 'log'; there are"),
        (
            "device-drop@pump",
            "no device is called 'pump'; there are plant",
        ),
        (
            "forge@arbitrator/plant-io",
            "'arbitrator/plant-io' is not the voter of the watched set",
        ),
    ] {
        let error = read(text).unwrap().place(&system, 0).unwrap_err();
        assert!(error.contains(said), "{text}: {error}");
        assert!(error.contains(read(text).unwrap().target.about().site.shape()));
    }
}

#[test]
fn every_kind_of_place_is_some_targets() {
    for site in [
        Site::Replica,
        Site::Voter,
        Site::Thread,
        Site::Sandbox,
        Site::Set,
        Site::Channel,
        Site::Device,
    ] {
        assert!(Target::ALL.iter().any(|it| it.about().site == site));
    }
}
