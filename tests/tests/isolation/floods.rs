//! Sandboxes that ring doorbells without end: along a channel that grants one, along those that
//! do not, against their direction, and along the channels that a replica set implies. The one
//! who suffers is on the receiving core: its jobs are in time, and no later than their bounds.
use tern_abi::directory::ExitReason;
use tern_abi::layout::DOORBELL_VECTOR;
use tern_config::System;
use tern_config::description::Costs;
use tern_tests::{Built, Platform, Running, text};
use tern_trace::{Event, Trace};
use xtask::timing::bounds;
use xtask::workspace;

/// The interval of the doorbell that is granted, in milliseconds.
const INTERVAL: u64 = 5;
/// When the flood begins, as `guest-hostile` does, and when the run ends, in milliseconds after
/// the time epoch.
const BEGIN: u64 = 10;
pub const END: u64 = 130;
/// Jobs that a bystander's load, one every 20 ms, completes until then.
pub const JOBS: u64 = END / 20;
/// As often a flood is refused at least, or it is none.
pub const FLOOD: u64 = 1000;

/// A sandbox with a job of 2 ms on Bochs every 20 ms. Under QEMU, whose cores take turns of
/// half a millisecond, it gets more time, and the bound is so much the longer.
pub fn bystander(platform: Platform, name: &str, core: usize) -> String {
    format!(
        r#"
        [[sandbox]]
        name = "{name}"
        core = {core}
        memory = "8MiB"
        {}
        "#,
        load(platform)
    )
}

/// The server of such a job.
fn load(platform: Platform) -> String {
    let (budget, wcet) = match platform {
        Platform::Qemu(_) => ("10ms", "9ms"),
        Platform::Bochs(_) => ("4ms", "2.1ms"),
    };
    format!(
        r#"
        [[sandbox.server]]
        name = "load"
        budget = "{budget}"
        period = "20ms"
        [[sandbox.server.thread]]
        name = "load"
        wcet = "{wcet}"
        period = "20ms"
        program = "load"
        "#
    )
}

/// A channel of one writer and one reader.
fn channel(name: &str, writer: &str, reader: &str, more: &str) -> String {
    format!(
        r#"
        [[channel]]
        name = "{name}"
        writer = "{writer}"
        readers = ["{reader}"]
        size = "4KiB"
        {more}
        "#
    )
}

/// A bystander, three that ring at it as often as they can, and one that ends the run: the first
/// attacker by a doorbell that it has, the second by a channel that it writes and that is silent,
/// the third by a channel of the bystander's whose doorbell is not its own.
fn three_attackers(platform: Platform) -> String {
    let granted = format!("doorbell = \"{INTERVAL}ms\"");
    let names = ["writer", "silent", "reader"];
    let attackers = names.iter().enumerate().map(|(channel, name)| {
        let line = format!("doorbell-flood {channel:x}");
        text::guest(name, channel + 1, "guest-hostile", &line)
    });
    let attackers: String = attackers.collect();
    "[system]\nname = \"floods\"\ntrace = \"256KiB\"\n".to_owned()
        + &bystander(platform, "bystander", 0)
        + &attackers
        + &text::guest("other", 4, "guest-hello", &END.to_string())
        + "may_shut_down = true\n"
        + &channel("bell", "writer", "bystander", &granted)
        + &channel("nothing", "silent", "bystander", "")
        + &channel("news", "bystander", "reader", &granted)
}

/// What is left of a run.
pub struct Ran {
    pub machine: Running,
    trace: Trace,
}

/// Runs `description` to its end: [`finish`].
fn run(platform: Platform, description: &str) -> Ran {
    let built = Built::parse(description);
    finish(&built, Running::start(&built, platform))
}

/// Lets `machine` with `built` run to its end, and sees that no job of a sandbox that is no
/// attacker was late, and that none of a bystander's took longer than its bound, by the platform's
/// cost table where there is one.
pub fn finish(built: &Built, mut machine: Running) -> Ran {
    let platform = machine.platform();
    machine.run_to_the_end();
    for (index, sandbox) in built.system.sandboxes.iter().enumerate() {
        let jobs = machine.jobs(index);
        let is_bystander = sandbox.kernel == "tern-kernel";
        let enough = if is_bystander { JOBS } else { 0 };
        assert!(
            jobs.missed == 0 && jobs.completed >= enough,
            "{platform}: {}: {jobs:?}",
            sandbox.name
        );
    }
    let trace = machine.whole_trace(&built.system);
    assert!(
        trace.cores.iter().all(|core| core.losses() == 0),
        "{platform}"
    );
    let late = beyond_bounds(platform, &built.system, &trace);
    assert!(late.is_empty(), "{platform}: {late:#?}");
    Ran { machine, trace }
}

/// What is wrong with the responses of the threads called `load`: all that took longer than their
/// bounds, by the platform's cost table where there is one, or that there are none.
pub fn beyond_bounds(platform: Platform, system: &System, trace: &Trace) -> Vec<String> {
    let responses = match bounds::responses(system, trace, &costs(platform)) {
        Ok(responses) => responses,
        Err(error) => return vec![error.to_string()],
    };
    let loads = responses.iter().filter(|it| it.name.ends_with(".load"));
    if loads.clone().count() == 0 {
        return vec!["no job of a load completed".into()];
    }
    loads
        .filter(|it| !it.holds())
        .map(ToString::to_string)
        .collect()
}

/// What the kernel's own work costs there; nothing under QEMU, where budgets have room.
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

impl Ran {
    /// How often a sandbox heard a doorbell.
    fn heard(&self, sandbox: usize) -> u64 {
        let events = self.trace.cores[sandbox].events().map(|it| it.unwrap().1);
        let is_ring = |event: &Event| matches!(event, Event::InterruptIn { vector } if *vector == DOORBELL_VECTOR);
        events.filter(is_ring).count() as u64
    }

    /// How often a sandbox rang, and was refused to.
    fn rang(&mut self, sandbox: usize) -> (u64, u64) {
        let exits = self.machine.exits(sandbox);
        let [rang, refused] =
            [ExitReason::Doorbell, ExitReason::RefusedDoorbell].map(|reason| exits.of(reason));
        (rang, refused)
    }
}

/// A granted doorbell rings no more often than granted, and others never.
pub fn along_channels(platform: Platform) {
    let mut ran = run(platform, &three_attackers(platform));
    let (rang, refused) = ran.rang(1);
    let most = (END - BEGIN).div_ceil(INTERVAL);
    assert!(
        (most / 2..=most).contains(&rang) && refused >= FLOOD,
        "{platform}: rang {rang} times of {most}, was refused {refused} times"
    );
    for other in [2, 3] {
        let (rang, refused) = ran.rang(other);
        assert!(
            rang == 0 && refused >= FLOOD,
            "{platform}: sandbox {other} rang {rang} times, was refused {refused} times"
        );
    }
    // One that is on its way when the run ends is not heard.
    let heard = ran.heard(0);
    assert!(
        (rang - 1..=rang).contains(&heard),
        "{platform}: heard {heard}"
    );
}

/// Three replicas of a load, each beside another load, and a voter. The sandbox named `hostile`
/// has the attacker in its kernel's place.
fn replicas(platform: Platform, hostile: &str) -> String {
    let kernel = |name: &str| match name == hostile {
        true => "kernel = \"guest-hostile\"\ncommand_line = \"doorbell-flood\"\n",
        false => "",
    };
    let (budget, wcet) = match platform {
        Platform::Qemu(_) => ("24ms", "20ms"),
        Platform::Bochs(_) => ("8ms", "6ms"),
    };
    let member = |name: &str, core: usize, runs: &str| {
        let own = kernel(name);
        format!(
            r#"
            [[sandbox]]
            name = "{name}"
            core = {core}
            memory = "16MiB"
            {own}
            {}
            [[sandbox.server]]
            name = "control"
            budget = "{budget}"
            period = "100ms"
            [[sandbox.server.thread]]
            name = "control"
            wcet = "{wcet}"
            {runs}
            "#,
            load(platform)
        )
    };
    "[system]\nname = \"replicas\"\ntrace = \"1MiB\"\n".to_owned()
        + &member("alpha", 0, "replica = \"set\"")
        + &member("beta", 1, "replica = \"set\"")
        + &member("gamma", 2, "replica = \"set\"")
        + &member("arbitrator", 3, "voter = \"set\"")
        + &text::guest("other", 4, "guest-hello", &END.to_string())
        + r#"
        may_shut_down = true
        [[replica_set]]
        name = "set"
        program = "load"
        period = "100ms"
        ballot_deadline = "48ms"
        verdict_deadline = "96ms"
        "#
}

/// A replica that rings at its set, and an arbitrator that does: nobody hears them.
pub fn along_what_a_set_implies(platform: Platform) {
    for (hostile, name) in [(0, "alpha"), (3, "arbitrator")] {
        let mut ran = run(platform, &replicas(platform, name));
        let (rang, refused) = ran.rang(hostile);
        assert!(
            rang == 0 && refused >= FLOOD,
            "{platform}: {name} rang {rang} times, was refused {refused} times"
        );
        for sandbox in (0..4).filter(|it| *it != hostile) {
            assert_eq!(ran.heard(sandbox), 0, "{platform}: {name} at {sandbox}");
        }
    }
}
