//! The demo system under faults: what `cargo xtask run` judges has to hold, one test
//! for each kind of fault and each emulator.
use tern_fault::grammar::Fault;
use tern_tests::Emulator;
use xtask::emulator::bochs::Model;
use xtask::run::{Outcome, RunOptions, run};

/// Runs the demo system, and expects everything that a verdict requires.
#[track_caller]
fn passes(faults: &str, seed: u64, emulator: Emulator) -> Outcome {
    let outcome = execute(faults, seed, emulator, false);
    assert!(
        outcome.verdict.passed(),
        "faults {faults}, seed {seed}:\n{}",
        outcome.verdict
    );
    outcome
}

/// The faults of a text in which blanks are between them.
fn faults(text: &str) -> Vec<Fault> {
    let faults = text.split_whitespace();
    faults.map(|fault| fault.parse().unwrap()).collect()
}

fn execute(text: &str, seed: u64, emulator: Emulator, unprotected: bool) -> Outcome {
    let name = format!(
        "test-{}-{seed}-{emulator:?}-{unprotected}.trace",
        text.replace(['=', '@', ' '], "-")
    );
    let options = RunOptions {
        faults: faults(text),
        seed,
        unprotected,
        emulator: Some(emulator.program().display().to_string()),
        trace: Some(std::env::temp_dir().join(name)),
        ..RunOptions::default()
    };
    let outcome =
        run(&options).unwrap_or_else(|error| panic!("faults {text}, seed {seed}: {error}"));
    std::fs::remove_file(&outcome.trace_file).unwrap();
    outcome
}

/// What the verdict's line `name` says.
#[track_caller]
fn line<'a>(outcome: &'a Outcome, name: &str) -> &'a str {
    let line = outcome
        .verdict
        .lines()
        .iter()
        .find(|line| line.name == name);
    &line
        .unwrap_or_else(|| panic!("no line '{name}':\n{}", outcome.verdict))
        .seen
}

#[test]
fn nothing_is_voted_out_where_nothing_is_wrong() {
    let outcome = passes("none", 1, Emulator::Installed);
    assert!(line(&outcome, "votes").contains("from epoch 0"));
}

#[test]
fn a_flipped_bit_in_the_heap_is_voted_out_and_repaired() {
    let outcome = passes("heap", 2, Emulator::Installed);
    assert!(line(&outcome, "detected").contains("summary differs"));
    assert_ne!(line(&outcome, "pages copied"), "0");
}

#[test]
fn a_flipped_bit_in_the_code_is_voted_out_and_repaired() {
    let outcome = passes("text@alpha", 3, Emulator::Installed);
    assert!(line(&outcome, "detected").starts_with("epoch"));
}

#[test]
fn a_flipped_bit_below_the_stack_is_voted_out_and_repaired() {
    passes("stack", 4, Emulator::Installed);
}

#[test]
fn a_flipped_bit_in_a_register_is_voted_out_or_masked() {
    // Seed 7 hits the stack pointer: its program cannot go on.
    let outcome = passes("register", 7, Emulator::Installed);
    assert!(line(&outcome, "fault injected").contains("rsp"));
    assert!(line(&outcome, "detected").starts_with("epoch"));
}

#[test]
fn a_replica_that_stops_is_repaired() {
    let outcome = passes("silent", 5, Emulator::Installed);
    assert!(line(&outcome, "detected").starts_with("epoch"));
}

#[test]
fn a_replica_that_never_ends_its_job_misses_its_ballot_and_is_repaired() {
    let outcome = passes("endless", 6, Emulator::Installed);
    assert!(line(&outcome, "detected").contains("no ballot in time"));
}

/// What the verdict's lines `name` say.
fn lines<'a>(outcome: &'a Outcome, name: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = outcome.verdict.lines().iter();
    lines
        .filter(move |it| it.name == name)
        .map(|it| it.seen.as_str())
}

/// One system management interrupt that takes 25 ms while a replica's program has stopped. The
/// pendulum's voter is due 35 ms after its release, and takes less than one.
#[test]
fn a_replica_stops_and_the_arbitrator_is_late_in_the_same_epoch() {
    let outcome = passes("silent late=25ms@arbitrator", 5, Emulator::Installed);
    let injected: Vec<_> = lines(&outcome, "fault injected").collect();
    assert_eq!(injected.len(), 2, "{}", outcome.verdict);
    assert!(injected[0].contains("to an invalid instruction"));
    let (_, job) = injected[1].split_once("of voter's job ").unwrap();
    let detected = line(&outcome, "detected");
    let epoch = job.trim_end_matches(" on");
    assert!(
        detected.starts_with(&format!("epoch {epoch}, ")),
        "{}",
        outcome.verdict
    );
    let late = lines(&outcome, "").find(|it| it.starts_with("that job was complete after 2"));
    assert!(late.unwrap().ends_with("ms, in time: due after 35ms"));
}

/// The simulated pendulum looks for its command 13 ms after each release. The voter is due 10 ms
/// after it: held for 5 ms it sends its command after that look, and the sample that answers comes
/// after the next vote.
#[test]
fn a_sample_that_comes_after_its_vote_costs_no_output() {
    let options = RunOptions {
        system: Some(xtask::workspace::root().join("systems/pendulum/arbitrator-simulated.toml")),
        faults: faults("late=5ms@arbitrator"),
        seed: 5,
        trace: Some(std::env::temp_dir().join("test-late-sample.trace")),
        ..RunOptions::default()
    };
    let outcome = run(&options).unwrap_or_else(|error| panic!("{error}"));
    std::fs::remove_file(&outcome.trace_file).unwrap();
    assert!(outcome.verdict.passed(), "{}", outcome.verdict);
    assert_eq!(line(&outcome, "stale inputs"), "1");
    // All but the first two of 120, which answer nothing.
    assert!(line(&outcome, "outputs").starts_with("118 of 118 released"));
}

/// The arbitrator has the device, the set's key and all that replicas ever said. It has no key of
/// a place.
#[test]
fn an_arbitrator_that_forges_gets_no_output_taken_and_no_replica_accused() {
    let outcome = passes("forge@arbitrator", 5, Emulator::Installed);
    expect_nothing_forged_is_taken(&outcome);
}

fn expect_nothing_forged_is_taken(outcome: &Outcome) {
    assert_eq!(
        line(outcome, "forged outputs"),
        "0 of 12 taken by the plant"
    );
    assert_eq!(line(outcome, "false accusations"), "0");
    // Of 120, without those and the first two, which answer nothing.
    assert!(line(outcome, "outputs").starts_with("106 of 106 released"));
}

#[test]
fn without_tags_an_arbitrator_that_forges_gets_every_output_taken() {
    let options = RunOptions {
        faults: faults("forge@arbitrator"),
        seed: 5,
        ..RunOptions::default()
    };
    let set = "[[replica_set]]\n";
    let untagged = format!("{set}tags = false\n");
    let outcome = of_demo_with(set, &untagged, "untagged", options);
    assert!(!outcome.verdict.passed(), "{}", outcome.verdict);
    assert_eq!(
        line(&outcome, "forged outputs"),
        "12 of 12 taken by the plant"
    );
    assert!(line(&outcome, "outputs").starts_with("12 of "));
    assert!(line(&outcome, "outputs").contains(" wrong from epoch "));
}

/// Runs the demo system with a piece of its description replaced.
fn of_demo_with(piece: &str, by: &str, name: &str, options: RunOptions) -> Outcome {
    let demo = xtask::workspace::root().join("systems/pendulum/arbitrator.toml");
    let demo = std::fs::read_to_string(demo).unwrap();
    assert_eq!(demo.matches(piece).count(), 1, "{piece}");
    let file = std::env::temp_dir().join(format!("test-{name}.toml"));
    std::fs::write(&file, demo.replace(piece, by)).unwrap();
    let options = RunOptions {
        system: Some(file.clone()),
        trace: Some(file.with_extension("trace")),
        ..options
    };
    let outcome = run(&options).unwrap_or_else(|error| panic!("{error}"));
    std::fs::remove_file(&outcome.trace_file).unwrap();
    std::fs::remove_file(&file).unwrap();
    outcome
}

/// No sandbox has left to the hypervisor in the epochs, but the arbitrator, so often, to seal.
fn expect_seals_alone(outcome: &Outcome, seals: u64) {
    assert!(line(outcome, "exits").starts_with("only to seal"));
    let told = outcome
        .verdict
        .lines()
        .iter()
        .map(|line| line.seen.as_str());
    let told: Vec<_> = told
        .filter_map(|it| it.split_once("; in the epochs "))
        .collect();
    assert!(told.len() > 3, "{}", outcome.verdict);
    for (start, epochs) in told {
        let due = match start.starts_with("arbitrator:") {
            true => format!("seal {seals}"),
            false => "none".into(),
        };
        assert_eq!(epochs, due, "{start}");
    }
}

#[test]
fn with_x2apic_nothing_exits_but_to_seal_each_verdict_and_without_seals_nothing() {
    // Of 120 epochs, those after the first command.
    expect_seals_alone(&passes("random", 8, Emulator::Qemu10), 119);

    let options = RunOptions {
        faults: faults("random"),
        seed: 8,
        emulator: Some(Emulator::Qemu10.program().display().to_string()),
        ..RunOptions::default()
    };
    let seal = "voting = \"arbitrator\"";
    let none = "voting = { kind = \"arbitrator\", seal = false }";
    let open = of_demo_with(seal, none, "not-sealed", options);
    assert!(open.verdict.passed(), "{}", open.verdict);
    assert!(line(&open, "exits").starts_with("0 in every sandbox"));
}

/// A run of the pendulum whose sandboxes each have a voter, where an exit costs no others.
fn distributed(text: &str) -> Outcome {
    let name = text.replace(['=', '@'], "-");
    let options = RunOptions {
        system: Some(xtask::workspace::root().join("systems/pendulum/distributed.toml")),
        faults: faults(text),
        seed: 5,
        emulator: Some(Emulator::Qemu10.program().display().to_string()),
        trace: Some(std::env::temp_dir().join(format!("test-distributed-{name}.trace"))),
        ..RunOptions::default()
    };
    let outcome = run(&options).unwrap_or_else(|error| panic!("{error}"));
    std::fs::remove_file(&outcome.trace_file).unwrap();
    assert!(outcome.verdict.passed(), "{text}:\n{}", outcome.verdict);
    outcome
}

/// The exits of each sandbox in the epochs after the first command.
fn exits(outcome: &Outcome) -> Vec<&str> {
    let told = lines(outcome, "");
    told.filter_map(|it| it.split_once("; in the epochs "))
        .map(|(_, exits)| exits)
        .collect()
}

/// A ballot and a verdict are sealed, and who has the device is told that it still has it.
#[test]
fn where_each_sandbox_votes_two_exits_an_epoch_are_due_and_one_more_with_the_device() {
    let outcome = distributed("none");
    assert!(line(&outcome, "outputs").starts_with("118 of 118 released"));
    assert_eq!(
        exits(&outcome),
        ["seal 238, take 119", "seal 238", "seal 238"]
    );
}

#[test]
fn where_each_sandbox_votes_the_device_leaves_who_is_voted_out() {
    let outcome = distributed("silent@alpha");
    assert!(line(&outcome, "outputs").starts_with("118 of 118 released"));
    assert_eq!(line(&outcome, "voted out by"), "beta and gamma");
    let exits = exits(&outcome);
    assert!(exits[0].contains("attend 1, "), "{exits:?}");
    assert!(exits[1].contains(", take "), "{exits:?}");
    assert!(!exits[2].contains("take"), "{exits:?}");
}

/// It is held beyond two deadlines of its ballots, and has the device at the first.
#[test]
fn where_each_sandbox_votes_one_output_is_lost_with_the_core_that_has_the_device() {
    let outcome = distributed("late=150ms@alpha");
    assert!(line(&outcome, "outputs").starts_with("117 of 117 released"));
    assert!(line(&outcome, "outputs withheld").starts_with("1, "));
    assert_eq!(line(&outcome, "false accusations"), "0");
}

#[test]
fn where_each_sandbox_votes_who_has_the_device_forges_in_vain_and_loses_it() {
    let outcome = distributed("forge@alpha");
    assert_eq!(
        line(&outcome, "forged outputs"),
        "0 of 2 taken by the plant"
    );
    assert_eq!(line(&outcome, "false accusations"), "0");
    assert!(line(&outcome, "outputs").starts_with("116 of 116 released"));
    let exits = exits(&outcome);
    assert!(exits[0].contains("attend 1, "), "{exits:?}");
    assert!(exits[1].contains(", take "), "{exits:?}");
}

/// A run of the pendulum in lock-step, where an exit costs no others.
fn lockstep(text: &str, seed: u64) -> Outcome {
    let name = text.replace(['=', '@'], "-");
    let options = RunOptions {
        system: Some(xtask::workspace::root().join("systems/pendulum/lockstep.toml")),
        faults: faults(text),
        seed,
        emulator: Some(Emulator::Qemu10.program().display().to_string()),
        trace: Some(std::env::temp_dir().join(format!("test-lockstep-{name}-{seed}.trace"))),
        ..RunOptions::default()
    };
    let outcome = run(&options).unwrap_or_else(|error| panic!("{error}"));
    std::fs::remove_file(&outcome.trace_file).unwrap();
    assert!(outcome.verdict.passed(), "{text}:\n{}", outcome.verdict);
    outcome
}

/// A ballot and a verdict are sealed. Of 120 epochs the first is held, and the second answers nothing.
#[test]
fn in_lockstep_two_exits_an_epoch_are_due_in_each_sandbox() {
    let outcome = lockstep("none", 5);
    assert!(line(&outcome, "outputs").starts_with("118 of 118 released"));
    assert_eq!(exits(&outcome), ["seal 238", "seal 238"]);
}

#[test]
fn in_lockstep_both_go_back_from_a_flip_wherever_it_is() {
    for (text, seed) in [
        ("text", 3),
        ("data", 3),
        ("heap", 3),
        ("stack", 3),
        ("register", 7),
    ] {
        let outcome = lockstep(text, seed);
        assert!(line(&outcome, "detected").starts_with("epoch"), "{text}");
        assert!(!line(&outcome, "rolled back").starts_with("0 "), "{text}");
        assert_eq!(line(&outcome, "false accusations"), "0");
    }
}

#[test]
fn in_lockstep_a_replica_that_stops_costs_one_output() {
    for text in ["silent", "endless"] {
        let outcome = lockstep(text, 3);
        assert!(line(&outcome, "outputs given up").starts_with("1 of 2 at most"));
        assert!(line(&outcome, "outputs").starts_with("117 of 117 released"));
    }
}

/// It is held beyond two deadlines of its ballots: nobody releases anything meanwhile.
#[test]
fn in_lockstep_a_core_that_is_held_comes_back_and_both_agree_again() {
    let outcome = lockstep("late=150ms@alpha", 3);
    assert!(line(&outcome, "summaries equal again").starts_with("unanimous from"));
}

#[test]
fn without_a_vote_a_wrong_output_gets_through() {
    // Flips that come out of the filter bank: in some run, the output is wrong.
    let wrong = (0..4).find(|seed| {
        let outcome = execute("heap", *seed, Emulator::Installed, true);
        line(&outcome, "outputs").contains("wrong")
    });
    assert!(wrong.is_some(), "no seed of 0 to 3 gives a wrong output");
}

/// A run of the demo system with its plant in a sandbox, on five cores.
fn in_bochs(model: Model, text: &str, seed: u64) -> Outcome {
    // Twice as many epochs as from the first to the fault at most, and a scrub.
    in_bochs_for(40, model, text, seed)
}

fn in_bochs_for(epochs: u64, model: Model, text: &str, seed: u64) -> Outcome {
    let name = format!("test-{model:?}-{text}-{seed}.trace");
    let options = RunOptions {
        bochs: Some(model),
        faults: faults(text),
        seed,
        epochs,
        trace: Some(std::env::temp_dir().join(name)),
        ..RunOptions::default()
    };
    let outcome = run(&options).unwrap_or_else(|error| panic!("{error}"));
    std::fs::remove_file(&outcome.trace_file).unwrap();
    assert!(outcome.verdict.passed(), "{}", outcome.verdict);
    outcome
}

#[test]
fn in_bochs_a_fault_is_repaired_with_seals_alone_and_in_the_same_way_every_time_under_vt_x() {
    let first = in_bochs(Model::Intel, "heap", 2);
    assert_ne!(line(&first, "pages copied"), "0");
    // Of 40 epochs, those after the first command.
    expect_seals_alone(&first, 39);
    let second = in_bochs(Model::Intel, "heap", 2);
    assert_eq!(first.verdict.to_string(), second.verdict.to_string());
    let same = first.trace.to_bytes() == second.trace.to_bytes();
    assert!(same, "two runs of the same seed differ");
}

#[test]
fn in_bochs_a_fault_is_repaired_in_the_same_way_every_time_under_amd_v() {
    // The replica never ends its job: it is thrown off its code while it runs.
    let first = in_bochs(Model::Amd, "endless", 3);
    assert!(line(&first, "detected").contains("no ballot in time"));
    let second = in_bochs(Model::Amd, "endless", 3);
    assert_eq!(first.verdict.to_string(), second.verdict.to_string());
    let same = first.trace.to_bytes() == second.trace.to_bytes();
    assert!(same, "two runs of the same seed differ");
}

/// The simulated pendulum's ballots are due 10 ms after the release: a core that is held for
/// longer casts none, and its program is mended like any other that fell behind.
#[test]
fn in_bochs_a_replica_whose_core_is_held_misses_its_ballot_and_is_repaired() {
    let outcome = in_bochs(Model::Intel, "late=12ms@beta", 4);
    let injected = line(&outcome, "fault injected");
    assert!(injected.starts_with("beta: its core, held for 12ms from the release of"));
    assert!(line(&outcome, "detected").contains("no ballot in time"));
    assert_eq!(line(&outcome, "voted out by"), "alpha and gamma");
}

#[test]
fn in_bochs_an_arbitrator_that_forges_gets_no_output_taken_under_vt_x() {
    let outcome = in_bochs_for(120, Model::Intel, "forge@arbitrator", 5);
    expect_nothing_forged_is_taken(&outcome);
}

#[test]
fn in_bochs_an_arbitrator_that_forges_gets_no_output_taken_under_amd_v() {
    let outcome = in_bochs_for(120, Model::Amd, "forge@arbitrator", 5);
    expect_nothing_forged_is_taken(&outcome);
}

/// The pendulum in lock-step with its plant in a sandbox, on three cores.
fn lockstep_in_bochs(model: Model) {
    let options = RunOptions {
        system: Some(xtask::workspace::root().join("systems/pendulum/lockstep-simulated.toml")),
        bochs: Some(model),
        faults: faults("heap"),
        seed: 2,
        epochs: 40,
        trace: Some(std::env::temp_dir().join(format!("test-lockstep-{model:?}.trace"))),
        ..RunOptions::default()
    };
    let outcome = run(&options).unwrap_or_else(|error| panic!("{error}"));
    std::fs::remove_file(&outcome.trace_file).unwrap();
    assert!(outcome.verdict.passed(), "{}", outcome.verdict);
    assert!(line(&outcome, "detected").starts_with("epoch"));
    assert!(!line(&outcome, "rolled back").starts_with("0 "));
}

#[test]
fn in_bochs_two_in_lockstep_go_back_from_a_flip_under_vt_x() {
    lockstep_in_bochs(Model::Intel);
}

#[test]
fn in_bochs_two_in_lockstep_go_back_from_a_flip_under_amd_v() {
    lockstep_in_bochs(Model::Amd);
}

#[test]
fn a_plant_outside_the_machine_is_refused_in_bochs_with_the_key_that_helps() {
    let options = RunOptions {
        system: Some(xtask::workspace::root().join("systems/pendulum/arbitrator.toml")),
        bochs: Some(Model::Intel),
        ..RunOptions::default()
    };
    let error = run(&options).unwrap_err();
    assert_eq!(error.code(), 65);
    assert!(
        error.to_string().contains("`simulates = \"plant\"`"),
        "{error}"
    );
}
