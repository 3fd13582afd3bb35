//! Devices at their worst: a wire that is never silent, noise, a port at which nothing is. What
//! runs above a driver does not notice, what it costs is bounded, and the trace keeps it all.
use std::time::Duration;
use tern_config::System;
use tern_config::description::Costs;
use tern_tests::{Built, Platform, QEMU, QEMU_10, Running, Wire, on_each_machine};
use tern_trace::{Core, Event};
use xtask::timing::bounds;
use xtask::workspace;

/// Threads by their numbers: a program, and below it the driver.
const CONTROL: u16 = 0;
const DRIVER: u16 = 1;
/// The least time between two jobs of the driver, in nanoseconds: 1 ms.
const PERIOD: u64 = 1_000_000;
/// Jobs of the driver that are looked at, at least.
const DRIVER_JOBS: usize = 40;

/// The program above the driver.
#[derive(Clone, Copy, Debug)]
struct Control {
    runs: &'static str,
    wcet: &'static str,
    budget: &'static str,
    period: &'static str,
    /// Jobs that are looked at.
    jobs: u64,
}

/// A job takes 4.01 ms in Bochs and leaves 40 µs of its server's budget: an interrupt for each of
/// the 46 bytes that come meanwhile at 115,200 baud, 7 µs each, would end it in the next period.
const LONG: Control = Control {
    runs: "program = \"load\"\nargument = 2",
    wcet: "4.02ms",
    budget: "4.05ms",
    period: "20ms",
    jobs: 10,
};
/// Jobs that run half the time, released at all phases of the driver's: after many of its jobs
/// the next byte comes while one of these runs. The deadline is far: QEMU gives its cores turns of
/// half a millisecond, and only in Bochs are responses judged, by their bounds.
const OFTEN: Control = Control {
    runs: "program = \"steps\"\nargument = 2000",
    wcet: "230us",
    budget: "300us",
    period: "473us",
    jobs: 200,
};

fn system(port: u16, control: Control) -> Built {
    let Control {
        runs,
        wcet,
        budget,
        period,
        ..
    } = control;
    Built::parse(&format!(
        r#"
        [system]
        name = "devices"
        trace = "4MiB"
        [[device]]
        name = "uart"
        port = {port:#x}
        interrupt = 3
        [[sandbox]]
        name = "s"
        core = 0
        memory = "8MiB"
        devices = ["uart"]
        [[sandbox.server]]
        name = "control"
        budget = "{budget}"
        period = "{period}"
        priority = 1
        [[sandbox.server.thread]]
        name = "control"
        wcet = "{wcet}"
        period = "{period}"
        deadline = "20ms"
        {runs}
        [[sandbox.server]]
        name = "io"
        kind = "io"
        budget = "5ms"
        period = "20ms"
        priority = 2
        [[sandbox.server.thread]]
        name = "driver"
        driver = "uart"
        wcet = "200us"
        period = "1ms"
        deadline = "20ms"
        "#
    ))
}

fn events(core: &Core) -> Vec<(u64, Event)> {
    core.events().map(|event| event.unwrap()).collect()
}

/// The vector of the device's line.
fn vector(system: &System) -> u8 {
    let line = system.devices[0].interrupt;
    system.interrupt_plan(0).vector(line).unwrap()
}

/// What the kernel's own work costs there; nothing under QEMU, where nothing is judged by it.
fn costs(platform: Platform) -> Costs {
    match platform {
        Platform::Qemu(_) => Costs::default(),
        Platform::Bochs(_) => {
            let file = workspace::root().join(format!("platforms/{platform}.toml"));
            let text = std::fs::read_to_string(&file).unwrap();
            Costs::parse("costs", &text).unwrap_or_else(|error| panic!("{error}"))
        }
    }
}

/// Given a wire that is never silent, then nothing interrupts what is above the driver, whose
/// jobs go on, a period apart, with at most one interrupt each.
fn floods_are_held_off(platform: Platform) {
    for control in [LONG, OFTEN] {
        a_flood_is_held_off(platform, control);
    }
}

fn a_flood_is_held_off(platform: Platform, control: Control) {
    let built = system(0x2f8, control);
    let mut machine = Running::start_with(&built, platform, Wire::Flood);
    machine.until("jobs of the program", |machine| {
        let done = |(_, event): &(u64, Event)| {
            matches!(
                event,
                Event::Complete {
                    thread: CONTROL,
                    ..
                }
            )
        };
        events(&machine.trace(0))
            .iter()
            .filter(|it| done(it))
            .count() as u64
            >= control.jobs
    });
    let trace = machine.whole_trace(&built.system);
    let core = &trace.cores[0];
    assert_eq!(core.losses(), 0, "{platform}");

    let (vector, events) = (vector(&built.system), events(core));
    let (mut running, mut interrupts, mut noise) = (None, 0, 0_u64);
    let mut begun: Vec<u64> = Vec::new();
    for (tsc, event) in events {
        match event {
            Event::Switch { thread } => running = thread,
            Event::InterruptIn { vector: it } if it == vector => {
                assert_ne!(running, Some(CONTROL), "{platform}: it was interrupted");
                interrupts += 1;
            }
            Event::Release { thread: DRIVER, .. } => {
                let since = tsc.saturating_sub(trace.epoch_tsc);
                begun.push(trace.tsc.to_duration(since).as_nanos());
            }
            Event::Noise { bytes, .. } => noise += u64::from(bytes),
            Event::Miss { .. } => panic!("{platform}: {event:?}"),
            _ => {}
        }
    }
    let gaps: Vec<u64> = begun.windows(2).map(|two| two[1] - two[0]).collect();
    // The clock of the record is read a little after the one that the period counts from, or
    // before.
    assert!(
        gaps.iter().all(|gap| *gap + 1000 >= PERIOD),
        "{platform}: {gaps:?}"
    );
    let jobs = begun.len();
    assert!(
        jobs > DRIVER_JOBS && interrupts <= jobs + 1,
        "{platform}: {jobs} jobs, {interrupts} interrupts"
    );
    assert!(noise > DRIVER_JOBS as u64, "{platform}: {noise} bytes");

    if let Platform::Bochs(_) = platform {
        let all = bounds::responses(&built.system, &trace, &costs(platform)).unwrap();
        let control = all.iter().find(|it| it.name == "s.control").unwrap();
        assert!(control.holds(), "{platform}: {control}");
    }
}

/// Given a port at which nothing is, then that is said once, and its driver takes no time.
fn absent_devices_are_said_once(platform: Platform) {
    let built = system(0x3e8, LONG);
    const SAID: &str = "nothing answers at port 0x3e8: the driver of device \"uart\" stops";
    let mut machine = Running::start(&built, platform);
    // What is said waits for the serial line, however many jobs are done meanwhile.
    machine.wait_for(SAID);
    machine.goes_on(0, LONG.jobs);
    let said = machine.lines();
    let said = said.iter().filter(|line| line.contains(SAID));
    assert_eq!(said.count(), 1, "{platform}");

    let events = events(&machine.trace(0));
    let is_told = |(_, event): &(u64, Event)| *event == Event::NoDevice { device: 0 };
    assert_eq!(events.iter().filter(|it| is_told(it)).count(), 1);
    let told = events.iter().position(is_told).unwrap_or_default();
    let after = &events[told..];
    let runs = |(_, event): &&(u64, Event)| {
        *event
            == Event::Switch {
                thread: Some(DRIVER),
            }
    };
    // It may be preempted while it says so.
    assert!(after.iter().filter(runs).count() <= 1, "{platform}");
    let exhausted = |(_, event): &(u64, Event)| matches!(event, Event::Exhaust { server: 1, .. });
    assert!(!events.iter().any(exhausted), "{platform}");
}

/// Given noise on the wire, then every byte is counted, by a record for many of them, and
/// all that happens takes fewer than two records a byte: for each job the emulator has eight.
fn noise_is_counted(platform: Platform) {
    const BYTES: usize = 29_000;
    let built = system(0x2f8, LONG);
    let mut machine = Running::start_with(&built, platform, Wire::Noise(BYTES));
    let counted = |core: &Core| {
        let noise = events(core)
            .into_iter()
            .filter_map(|(_, event)| match event {
                Event::Noise { bytes, .. } => Some(u64::from(bytes)),
                _ => None,
            });
        noise.sum::<u64>()
    };
    // The last bytes may still become a frame.
    let enough = (BYTES - tern_plant::frames::MAX_FRAME) as u64;
    for _ in 0..100 {
        machine.run_for(Duration::from_millis(500));
        if counted(&machine.trace(0)) >= enough {
            break;
        }
    }
    assert!(counted(&machine.trace(0)) >= enough, "{platform}");

    let core = machine.trace(0);
    assert_eq!(core.losses(), 0, "{platform}");
    let vector = vector(&built.system);
    let events = events(&core);
    let count = |wanted: &dyn Fn(&Event) -> bool| events.iter().filter(|it| wanted(&it.1)).count();
    let interrupts =
        count(&|event| matches!(event, Event::InterruptIn { vector: it } if *it == vector));
    let records = count(&|event| matches!(event, Event::Noise { .. }));
    assert!(
        interrupts < BYTES / 4 && records < BYTES / 4 && events.len() < 2 * BYTES,
        "{platform}: {interrupts} interrupts, {records} of noise, {} records",
        events.len()
    );
}

on_each_machine! {
    a_flood_is_held_off_while_what_is_more_urgent_runs => floods_are_held_off;
    an_absent_port_is_said_once_and_its_driver_stops => absent_devices_are_said_once;
}

#[test]
fn noise_is_counted_in_bulk_and_fills_no_trace_on_qemu() {
    noise_is_counted(QEMU);
}

#[test]
fn noise_is_counted_in_bulk_and_fills_no_trace_on_qemu_10() {
    noise_is_counted(QEMU_10);
}
