//! Reading descriptions: what the keys mean, their defaults, and what they imply.
use tern_config::layout::{replica_channel_bytes, voter_channel_bytes};
use tern_config::partition::{View, windows};
use tern_config::*;

const FULL: &str = include_str!("full.toml");

const MS: u64 = 1_000_000;

fn read(text: &str) -> System {
    match Description::parse("test.toml", text) {
        Ok(description) => description.system,
        Err(problems) => panic!("{problems}"),
    }
}

/// As the checker leaves it: each sporadic server has some room for replenishments.
fn with_room(mut system: System) -> System {
    let sandboxes = system.sandboxes.iter_mut();
    for server in sandboxes.flat_map(|sandbox| &mut sandbox.servers) {
        server.room = match server.kind {
            ServerKind::Sporadic => 16,
            ServerKind::Io => 0,
        };
    }
    system
}

#[test]
fn every_key_of_a_full_description_arrives() {
    let description = Description::parse("full.toml", FULL).unwrap();
    assert_eq!(description.warnings, []);
    assert_eq!(
        description.machine,
        Some(Machine {
            cores: 4,
            memory_bytes: 256 << 20
        })
    );
    description.validate_bootable().unwrap();
    let system = description.system;

    assert_eq!(
        (system.name.as_str(), system.platform.as_str()),
        ("pendulum", "none")
    );
    assert_eq!(
        (system.trace_bytes, system.trace_mode),
        (4 << 20, TraceMode::Overwrite)
    );
    let plant = Device {
        name: "plant".into(),
        kind: DeviceKind::Serial,
        port: 0x2f8,
        port_count: 8,
        interrupt: 3,
        channels: None,
        verdicts: Vec::new(),
    };
    assert_eq!(system.devices, [plant]);

    let alpha = &system.sandboxes[0];
    assert_eq!(
        (alpha.name.as_str(), alpha.core, alpha.memory_bytes),
        ("alpha", 0, 16 << 20)
    );
    assert_eq!(
        (alpha.kernel.as_str(), alpha.command_line.as_str()),
        ("tern-kernel", "")
    );
    assert!(!alpha.may_shut_down && alpha.devices.is_empty());
    let load = Thread {
        name: "attitude".into(),
        wcet: MS,
        period: 20 * MS,
        deadline: 20 * MS,
        offset: 0,
        runs: Runs::Program {
            file: "load".into(),
            argument: 1,
            heap_pages: 0,
            stack_pages: 4,
            simulates: None,
        },
        jobs: vec![],
    };
    let attitude = Server {
        name: "attitude".into(),
        kind: ServerKind::Sporadic,
        budget: 2 * MS,
        period: 20 * MS,
        deadline: 20 * MS,
        jitter: 0,
        room: 0,
        blocking: 0,
        priority: 0,
        threads: vec![load],
    };
    assert_eq!(alpha.servers[1], attitude);

    let arbitrator = &system.sandboxes[3];
    assert_eq!(
        (arbitrator.kernel.as_str(), arbitrator.command_line.as_str()),
        ("other-kernel", "quiet")
    );
    assert!(arbitrator.may_shut_down);
    assert_eq!(arbitrator.devices, [0]);
    assert_eq!(arbitrator.servers[1].kind, ServerKind::Io);
}

#[test]
fn a_set_gives_its_members_their_times() {
    let system = read(FULL);
    let controller = &system.sandboxes[0].servers[0].threads[0];
    assert_eq!(controller.runs, Runs::Replica(0));
    assert_eq!((controller.period, controller.offset), (50 * MS, 0));
    assert_eq!(controller.deadline, 20 * MS, "the ballot deadline");

    let voter = &system.sandboxes[3].servers[0].threads[0];
    assert_eq!(voter.runs, Runs::Voter(0));
    assert_eq!((voter.period, voter.offset), (50 * MS, 20 * MS));
    assert_eq!(
        voter.deadline,
        6 * MS,
        "from the ballot to the verdict deadline"
    );

    let driver = &system.sandboxes[3].servers[1].threads[0];
    assert_eq!(driver.runs, Runs::Driver(0));
    assert_eq!(
        (driver.wcet, driver.period, driver.deadline),
        (MS, 5 * MS, 10 * MS)
    );
}

#[test]
fn a_set_implies_its_members_and_channels() {
    let system = read(FULL);
    let set = &system.replica_sets[0];
    let place = |sandbox| ThreadRef {
        sandbox,
        server: 0,
        thread: 0,
    };
    assert_eq!(set.replicas, [place(0), place(1), place(2)]);
    assert_eq!(set.voters, [place(3)]);
    assert_eq!(
        (set.voting, set.leaf),
        (Voting::Arbitrator { seal: true }, LeafAlgorithm::Ahash)
    );
    assert_eq!((set.heap_pages, set.stack_pages, set.argument), (96, 4, 0));
    assert_eq!((set.period, set.scrub_period), (50 * MS, 2000 * MS));
    assert_eq!(set.repair_pages, 32);
    let promise = FULL.replacen("heap_pages = 96", "repair_pages = 7", 1);
    assert_eq!(read(&promise).replica_sets[0].repair_pages, 7);
    assert!(set.coded);
    let plain = FULL.replacen("heap_pages = 96", "coded = false", 1);
    assert!(!read(&plain).replica_sets[0].coded);
    assert_eq!(set.device, Some(0));
    assert!(set.repairs());
    // Tags are for a device to know, and giving them up is told.
    assert!(set.tags);
    let trusting = FULL.replacen("heap_pages = 96", "tags = false", 1);
    assert!(!read(&trusting).replica_sets[0].tags);
    assert_eq!(set.lost_epochs(), 3);

    // Until its file is at hand, a program is taken to have 256 pages.
    let pages = 2 + 96 + 4 + 256;
    let (voter, replica) = (voter_channel_bytes(pages), replica_channel_bytes(pages));
    let channels: Vec<_> = system
        .channels
        .iter()
        .map(|it| (it.name.as_str(), it.writer, it.readers.clone(), it.bytes))
        .collect();
    assert_eq!(
        channels,
        [
            ("log", 1, vec![3, 2], 8 << 10),
            ("controller.voter", 3, vec![0, 1, 2], voter),
            ("controller.alpha", 0, vec![1, 2, 3], replica),
            ("controller.beta", 1, vec![0, 2, 3], replica),
            ("controller.gamma", 2, vec![0, 1, 3], replica),
        ]
    );
    let doorbells: Vec<_> = system.channels.iter().map(|it| it.doorbell).collect();
    assert_eq!(
        doorbells,
        [Some(50 * MS), None, None, None, None],
        "what nobody wrote is silent"
    );
    assert_eq!(set.voter_channels, [1]);
    assert_eq!(set.replica_channels, [2, 3, 4]);
    assert!(system.references_hold());
}

#[test]
fn keys_are_the_same_in_every_build_and_differ_between_systems() {
    let (first, again) = (read(FULL), read(FULL));
    let renamed = read(&FULL.replacen("\"pendulum\"", "\"other\"", 1));
    assert_eq!(first.replica_sets[0].key, again.replica_sets[0].key);
    assert_ne!(first.replica_sets[0].key, renamed.replica_sets[0].key);
    let written = FULL.replace(
        "heap_pages = 96",
        &format!("key = \"{}\"", "0100000000000000".repeat(4)),
    );
    assert_eq!(read(&written).replica_sets[0].key, [1; 4]);
}

#[test]
fn a_set_repairs_if_it_says_so_and_stops_in_the_end() {
    let stop = |lost_epochs| Policy::SafeStop { lost_epochs };
    let repair = Policy::MigrateApplication;
    for (written, policies) in [
        (r#""migrate-application""#, &[repair, stop(3)][..]),
        (r#""safe-stop""#, &[stop(3)]),
        (
            r#"["migrate-application", "safe-stop"]"#,
            &[repair, stop(3)],
        ),
        (r#"[{ kind = "safe-stop", lost_epochs = 7 }]"#, &[stop(7)]),
        (
            r#"["migrate-application", { kind = "safe-stop", lost_epochs = 1 }]"#,
            &[repair, stop(1)],
        ),
        ("[]", &[stop(3)]),
    ] {
        let text = FULL.replacen("heap_pages = 96", &format!("recovery = {written}"), 1);
        let set = &read(&text).replica_sets[0];
        assert_eq!(set.recovery, policies, "{written}");
        assert_eq!(set.repairs(), policies.contains(&repair), "{written}");
        assert_eq!(stop(set.lost_epochs()), policies[policies.len() - 1]);
    }
}

/// Safe is the default, and who gives it up reads what that costs.
#[test]
fn what_a_set_does_not_survive_that_it_could_is_told() {
    let warnings = |text: &str| -> Vec<String> {
        let description = Description::parse("system.toml", text).unwrap();
        let warnings = description.warnings.iter();
        let of_set = warnings.filter(|it| it.key.starts_with("replica_set"));
        of_set
            .map(|it| format!("{}: {}", it.key, it.reason))
            .collect()
    };
    assert_eq!(warnings(FULL), [""; 0]);
    for (written, told) in [
        (
            "tags = false",
            "replica_set.controller.tags: input of \"controller\" is trusted from \"plant\"",
        ),
        (
            "coded = false",
            "replica_set.controller.coded: one flip while a voter votes can let out",
        ),
        (
            "voting = { kind = \"arbitrator\", seal = false }",
            "replica_set.controller.voting: the arbitrator of \"controller\" can show replicas",
        ),
    ] {
        let warnings = warnings(&FULL.replacen("heap_pages = 96", written, 1));
        assert_eq!(warnings.len(), 1, "{written}: {warnings:?}");
        assert!(warnings[0].starts_with(told), "{written}: {warnings:?}");
    }
    // A fourth replica is one more to fail, and no more may.
    for replicas in 3..8 {
        let warnings = warnings(&with_sets(1, replicas));
        let told = format!(
            "replica_set.set-0.voting: {replicas} replicas of \"set-0\" survive as many faulty ones \
             as {}: leave one out, or add one",
            replicas - 1
        );
        let even = replicas % 2 == 0;
        assert_eq!(warnings, Vec::from_iter(even.then_some(told)));
    }
}

#[test]
fn the_voters_channel_is_sealed_once_an_epoch_unless_the_description_says_no() {
    let with = |voting: &str| read(&FULL.replacen("heap_pages = 96", voting, 1));
    let seals = |system: &System| {
        let channels = system.channels.iter();
        channels.map(|it| it.seal).collect::<Vec<_>>()
    };
    let sealed = [None, Some(50 * MS), None, None, None];
    for voting in [
        "",
        "voting = \"arbitrator\"",
        "voting = { kind = \"arbitrator\" }",
        "voting = { kind = \"arbitrator\", seal = true }",
    ] {
        assert_eq!(seals(&with(voting)), sealed, "{voting}");
    }
    let open = with("voting = { kind = \"arbitrator\", seal = false }");
    assert_eq!(seals(&open), [None; 5]);
    let voting = open.replica_sets[0].voting;
    assert_eq!(voting, Voting::Arbitrator { seal: false });
    assert_eq!(seals(&read(FULL).unprotected()), [None; 2]);
    // A channel that anybody writes may be sealed.
    let log = read(&FULL.replacen("doorbell = \"50ms\"", "seal = \"5ms\"", 1));
    assert_eq!(log.channels[0].seal, Some(5 * MS));
}

#[test]
fn a_sealed_channel_is_closed_by_its_readers_where_the_description_says_when() {
    let closable = |keys: &str| {
        let system = read(&FULL.replacen("doorbell = \"50ms\"", keys, 1));
        let sandboxes = 0..system.sandboxes.len();
        let of = |sandbox| system.closable(sandbox).collect::<Vec<_>>();
        sandboxes.map(of).collect::<Vec<_>>()
    };
    // Beta writes the log; the arbitrator and gamma read it.
    let nobody = [vec![], vec![], vec![], vec![]];
    assert_eq!(closable("seal = \"5ms\""), nobody);
    let readers = [vec![], vec![], vec![0], vec![0]];
    assert_eq!(closable("seal = \"5ms\"\nclose = \"4ms\""), readers);
}

#[test]
fn a_sandbox_closes_no_more_channels_than_one_call_takes() {
    let with = |count: usize| {
        let mut text = String::from("[system]\nname = \"many\"\n");
        let writers = (0..count.div_ceil(3)).map(|index| format!("w{index}"));
        let names = ["first", "second"].map(String::from).into_iter();
        for (core, name) in names.chain(writers).enumerate() {
            text += &format!(
                "[[sandbox]]\nname = \"{name}\"\ncore = {core}\nmemory = \"4MiB\"\n\
                 kernel = \"guest\"\n"
            );
        }
        for index in 0..count {
            let writer = index / 3;
            text += &format!(
                "[[channel]]\nname = \"c{index}\"\nwriter = \"w{writer}\"\n\
                 readers = [\"first\", \"second\"]\nsize = \"4KiB\"\nseal = \"5ms\"\n\
                 close = \"4ms\"\n"
            );
        }
        Description::parse("many.toml", &text)
    };
    assert!(with(32).is_ok());
    let refused = with(33).unwrap_err().to_string();
    let problem = |name: &str, line: usize| {
        format!(
            "many.toml:{line}: sandbox.{name}.name: 33 of the channels that it reads may be closed, \
             at most 32 can be: leave `close` out where nobody waits for the writer"
        )
    };
    let expected = [problem("first", 4), problem("second", 9)];
    assert_eq!(refused.lines().collect::<Vec<_>>(), expected);
}

/// A system whose arbitrator votes for so many sets, whose replicas are in so many sandboxes.
fn with_sets(count: usize, replicas: usize) -> String {
    let mut text = String::from("[system]\nname = \"sets\"\n");
    let server = |index: usize, thread: &str| {
        format!(
            "  {{ name = \"s{index}\", budget = \"1ms\", period = \"50ms\", thread = [\n    \
             {{ name = \"t{index}\", {thread} = \"set-{index}\", wcet = \"500us\" }} ] }},\n"
        )
    };
    for core in 0..=replicas {
        let thread = if core < replicas { "replica" } else { "voter" };
        let servers: String = (0..count).map(|index| server(index, thread)).collect();
        text += &format!(
            "[[sandbox]]\nname = \"box-{core}\"\ncore = {core}\nmemory = \"32MiB\"\n\
             server = [\n{servers}]\n"
        );
    }
    for index in 0..count {
        text += &format!(
            "[[replica_set]]\nname = \"set-{index}\"\nprogram = \"load\"\nperiod = \"50ms\"\n\
             ballot_deadline = \"20ms\"\nverdict_deadline = \"30ms\"\n"
        );
    }
    text
}

#[test]
fn a_sandbox_writes_no_more_sealed_channels_than_it_can_choose_between() {
    read(&with_sets(3, 3));
    let refused = Description::parse("sets.toml", &with_sets(4, 3)).unwrap_err();
    let refused = refused.to_string();
    assert_eq!(refused.lines().count(), 1, "{refused}");
    assert!(
        refused.contains(
            "sandbox.box-3.voter: 4 of the channels that it writes are sealed, at most 3 can be"
        ),
        "{refused}"
    );
}

#[test]
fn a_sealed_channel_is_two_halves_and_the_word_that_says_which() {
    let system = read(FULL);
    let (voter, bytes) = (1, system.channels[1].bytes);
    let begin = channel_address(&system, voter).unwrap().as_u64();
    for (sandbox, is_writer) in [(3, true), (0, false), (2, false)] {
        let windows = windows(&system, sandbox, 4096).unwrap();
        let own: Vec<_> = windows
            .iter()
            .map(|it| (it.guest.as_u64(), it.bytes, it.view))
            .filter(|(guest, ..)| (begin..begin + (2 << 20)).contains(guest))
            .collect();
        let half = |half| View::Half {
            index: 1,
            half,
            is_writer,
        };
        assert_eq!(
            own,
            [
                (begin, bytes, half(0)),
                (begin + bytes, bytes, half(1)),
                (begin + 2 * bytes, 4096, View::Seal { index: 1 }),
            ],
            "sandbox {sandbox}"
        );
    }
    let next = channel_address(&system, voter + 1).unwrap().as_u64();
    assert!(next >= begin + system.channels[1].memory_bytes());
}

#[test]
fn channels_grow_with_the_program() {
    let mut system = read(FULL);
    system.size_channels(0, 100_000);
    assert!(system.channels[1].bytes == voter_channel_bytes(100_000));
    assert!(
        system.channels[2..]
            .iter()
            .all(|channel| channel.bytes == replica_channel_bytes(100_000))
    );
    assert!(
        system
            .channels
            .iter()
            .all(|channel| channel.bytes % 4096 == 0)
    );
    assert_eq!(system.channels[0].bytes, 8 << 10, "not derived");
}

#[test]
fn the_image_has_channels_for_all_pages_of_the_program() {
    let system = with_room(read(FULL));
    let image = |controller: &[u8]| {
        let mut builder = ImageBuilder::new(&system);
        for file in ["tern-kernel", "other-kernel", "load"] {
            builder.file(file, b"");
        }
        let bytes = builder.file("controller", controller).build().unwrap();
        Image::parse(&bytes).unwrap().into_system()
    };
    // One segment of 1000 pages, as in an ELF file's only program header.
    let mut elf = vec![0; 64 + 56];
    elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
    (elf[32], elf[54], elf[56], elf[64]) = (64, 56, 1, 1);
    elf[64 + 40..][..8].copy_from_slice(&(1000_u64 * 4096).to_le_bytes());
    let grown = image(&elf);
    let pages = 2 + 96 + 4 + 1000;
    assert_eq!(grown.channels[1].bytes, voter_channel_bytes(pages));
    assert!(
        grown.channels[2..]
            .iter()
            .all(|it| it.bytes == replica_channel_bytes(pages))
    );
    elf[64 + 40..][..8].copy_from_slice(&(200_u64 * 4096).to_le_bytes());
    assert_eq!(image(&elf), system, "fewer than assumed");
    assert_eq!(image(b"not a program"), system);
}

#[test]
fn a_file_of_servers_alone_is_enough_for_analysis_but_not_to_boot() {
    let text = r#"
[system]
name = "example"
platform = "none"

[[sandbox]]
name = "s0"
core = 0

  [[sandbox.server]]
  name = "a"
  kind = "sporadic"
  budget = "1.5ms"
  period = "30ms"
  deadline = "45ms"
  jitter = "0ms"
  blocking = "2us"

    [[sandbox.server.thread]]
    name = "t"
    wcet = "4ms"
    period = "40ms"
    deadline = "39ms"
    offset = "1ms"
    jobs = [{ at = "9ms", work = "1ms" }, { at = "2ms", work = "2ms" }]

  [[sandbox.server]]
  name = "b"
  budget = "1ms"
  period = "10ms"
"#;
    let description = Description::parse("test.toml", text).unwrap();
    let servers = &description.system.sandboxes[0].servers;
    assert_eq!(
        (servers[0].budget, servers[0].deadline),
        (1_500_000, 45 * MS)
    );
    assert_eq!((servers[0].jitter, servers[0].blocking), (0, 2_000));
    assert_eq!(
        (servers[0].priority, servers[1].priority),
        (1, 0),
        "rate-monotonic"
    );
    let thread = &servers[0].threads[0];
    assert_eq!((thread.deadline, thread.offset), (39 * MS, MS));
    let jobs = [
        Job {
            at: 2 * MS,
            work: 2 * MS,
        },
        Job {
            at: 9 * MS,
            work: MS,
        },
    ];
    assert_eq!(thread.jobs, jobs, "in the order of their times");

    let problems = description.validate_bootable().unwrap_err().to_string();
    assert_eq!(
        problems,
        "test.toml:6: sandbox.s0.memory: missing: a sandbox that boots needs memory, such as \"16MiB\"\n\
         test.toml:19: sandbox.s0.server.a.thread.t.program: missing: a thread that boots runs a \
         program, replica, voter or driver"
    );
}

#[test]
fn priorities_are_those_given_or_rate_monotonic_with_ties_in_file_order() {
    let system = |periods: &[(u64, Option<u32>)]| {
        let mut text =
            String::from("[system]\nname = \"s\"\n[[sandbox]]\nname = \"a\"\ncore = 0\n");
        for (index, (period, priority)) in periods.iter().enumerate() {
            text += &format!(
                "[[sandbox.server]]\nname = \"{index}\"\nbudget = \"1ms\"\nperiod = \"{period}ms\"\n"
            );
            if let Some(priority) = priority {
                text += &format!("priority = {priority}\n");
            }
        }
        let servers = read(&text).sandboxes.remove(0).servers;
        servers
            .iter()
            .map(|server| server.priority)
            .collect::<Vec<u32>>()
    };
    assert_eq!(
        system(&[(30, None), (10, None), (30, None), (20, None)]),
        [2, 0, 3, 1]
    );
    assert_eq!(
        system(&[(10, Some(9)), (30, Some(1)), (20, Some(4))]),
        [2, 0, 1]
    );
}

#[test]
fn explicit_jobs_stand_for_the_times_that_are_not_written() {
    let text = |jobs: &str| {
        format!(
            "[system]\nname = \"s\"\n[[sandbox]]\nname = \"a\"\ncore = 0\n[[sandbox.server]]\n\
             name = \"v\"\nbudget = \"1ms\"\nperiod = \"7ms\"\n[[sandbox.server.thread]]\n\
             name = \"t\"\njobs = [{jobs}]\n"
        )
    };
    let thread = |jobs| {
        read(&text(jobs))
            .sandboxes
            .remove(0)
            .servers
            .remove(0)
            .threads
            .remove(0)
    };
    let three = thread(
        "{ at = \"1ms\", work = \"2ms\" }, { at = \"9ms\", work = \"3ms\" }, { at = \"5ms\", work = \"1ms\" }",
    );
    assert_eq!(
        (three.wcet, three.period, three.deadline),
        (3 * MS, 4 * MS, 4 * MS)
    );
    let one = thread("{ at = \"1ms\", work = \"2ms\" }");
    assert_eq!((one.wcet, one.period), (2 * MS, 7 * MS));
}

#[test]
fn without_its_redundancy_a_system_keeps_one_copy_and_the_arbitrator() {
    let voted = read(FULL);
    let single = voted.unprotected();
    let names: Vec<_> = single.sandboxes.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["alpha", "arbitrator"]);
    assert_eq!(
        single.sandboxes[1].core, 3,
        "each sandbox stays on its core"
    );
    let set = &single.replica_sets[0];
    assert_eq!(set.voting, Voting::Unprotected);
    assert_eq!(
        set.replicas,
        [ThreadRef {
            sandbox: 0,
            server: 0,
            thread: 0
        }]
    );
    assert_eq!(
        set.voters,
        [ThreadRef {
            sandbox: 1,
            server: 0,
            thread: 0
        }]
    );
    let channels: Vec<_> = single
        .channels
        .iter()
        .map(|it| (it.name.as_str(), it.writer, it.readers.clone()))
        .collect();
    assert_eq!(
        channels,
        [
            ("controller.voter", 1, vec![0]),
            ("controller.alpha", 0, vec![1])
        ],
        "the log of beta went with it"
    );
    assert!(single.references_hold());
    assert_eq!(single.sandboxes[0], voted.sandboxes[0]);
    assert_eq!(single.sandboxes[1], voted.sandboxes[3]);
    assert_eq!(single.unprotected(), single);
}

#[test]
fn a_simulated_device_gets_a_channel_for_each_direction() {
    let plant = "simulates = \"plant\"\nargument = 1";
    let system = read(&FULL.replace("argument = 1", plant));
    let Runs::Program { simulates, .. } = system.sandboxes[0].servers[1].threads[0].runs else {
        panic!("no program");
    };
    assert_eq!(simulates, Some(0));
    let place = ThreadRef {
        sandbox: 0,
        server: 1,
        thread: 0,
    };
    assert_eq!(system.plant(0), Some(place));
    let DeviceChannels { output, input } = system.devices[0].channels.unwrap();
    let channel = |index: u32| {
        let channel = &system.channels[index as usize];
        (channel.name.as_str(), channel.writer, &channel.readers[..])
    };
    assert_eq!(channel(output), ("plant.output", 3, &[0][..]));
    assert_eq!(channel(input), ("plant.input", 0, &[3][..]));
    assert!(system.references_hold());
    for index in [output, input] {
        assert_eq!(system.channels[index as usize].doorbell, None);
    }
    // Derived anew, it is the same; without its plant, as it was without.
    let mut again = system.clone();
    again.derive();
    assert_eq!(again, system);
    assert_eq!(system.derived_channels(), 6);
    assert_eq!(read(FULL).derived_channels(), 4);
    assert_eq!(read(FULL).devices[0].channels, None);
    // One copy without a vote has the same plant.
    let single = system.unprotected();
    assert!(single.references_hold());
    assert_eq!(single.plant(0), Some(place));
    assert_eq!(single.derived_channels(), 2 + 2);
}

#[test]
fn a_voted_system_survives_the_image() {
    let system = with_room(read(FULL));
    let mut builder = ImageBuilder::new(&system);
    for file in ["tern-kernel", "other-kernel", "controller", "load"] {
        builder.file(file, file.as_bytes());
    }
    let bytes = builder.build().unwrap();
    assert_eq!(*Image::parse(&bytes).unwrap().system(), system);
}

#[test]
fn the_worked_example_of_the_book_boots() {
    let page = include_str!("../../../docs/system-description.md");
    let (_, rest) = page.split_once("```toml\n").unwrap();
    let (example, rest) = rest.split_once("```").unwrap();
    let description = Description::parse("book.toml", example).unwrap_or_else(|it| panic!("{it}"));
    assert_eq!(description.warnings, []);
    description
        .validate_bootable()
        .unwrap_or_else(|it| panic!("{it}"));
    let (_, rest) = rest.split_once("```toml\n").unwrap();
    let (costs, _) = rest.split_once("```").unwrap();
    description::Costs::parse("costs.toml", costs).unwrap_or_else(|it| panic!("{it}"));
}

#[test]
fn the_systems_that_come_with_tern_boot() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut seen = 0;
    let folders = ["systems", "tests/systems"].map(|it| std::fs::read_dir(root.join(it)).unwrap());
    for folder in folders.into_iter().flatten() {
        let Ok(files) = std::fs::read_dir(folder.unwrap().path()) else {
            continue;
        };
        let files = files.map(|file| file.unwrap().path());
        for file in files.filter(|file| file.extension().is_some_and(|it| it == "toml")) {
            if file.file_name().is_some_and(|name| name == "Cargo.toml") {
                continue;
            }
            let description = Description::read(&file).unwrap_or_else(|it| panic!("{it}"));
            assert_eq!(description.warnings, [], "{}", file.display());
            description
                .validate_bootable()
                .unwrap_or_else(|it| panic!("{it}"));
            seen += 1;
        }
    }
    assert!(seen > 0);
}
