//! Every way a description can be wrong gives file, line, key and reason.
//!
//! `problems.txt` lists them. A case is one line of `full.toml` (the second of equal
//! ones where `#2` follows), what it becomes (⏎ begins a new line), and below that all
//! that is then reported: the line, relative to the changed one, the key and the reason.
use proptest::prelude::*;
use tern_config::Description;

const FULL: &str = include_str!("full.toml");
const CASES: &str = include_str!("problems.txt");

/// What is reported for `text`.
fn problems(text: &str) -> Vec<String> {
    match Description::parse("x.toml", text) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.to_string().lines().map(str::to_owned).collect(),
    }
}

/// The full description with a line changed as the head of a case says, and the number
/// of that line.
fn changed(head: &str) -> (String, isize) {
    let (from, to) = head.split_once("=>").expect("FROM => TO");
    let (from, nth) = match from.trim().rsplit_once(" #") {
        Some((from, nth)) => (from, nth.parse().unwrap()),
        None => (from.trim(), 1),
    };
    let mut equal = FULL
        .lines()
        .enumerate()
        .filter(|(_, line)| line.trim() == from);
    let Some((index, _)) = equal.nth(nth - 1) else {
        panic!("full.toml has no line {from} #{nth}")
    };
    let to = to.trim().replace(" ⏎ ", "\n");
    let mut lines: Vec<&str> = FULL.lines().collect();
    lines[index] = &to;
    (lines.join("\n"), index as isize + 1)
}

#[test]
fn each_mistake_is_reported_with_its_place_and_nothing_else_is() {
    let (mut count, mut wrong) = (0, String::new());
    let blocks = CASES.split("\n\n").map(str::trim);
    for case in blocks.filter(|case| !case.is_empty() && !case.starts_with('#')) {
        let mut lines = case.lines();
        let (text, at) = changed(lines.next().unwrap());
        let expected: Vec<String> = lines
            .map(|line| {
                let (offset, rest) = line.split_once(' ').unwrap();
                format!("x.toml:{}: {rest}", at + offset.parse::<isize>().unwrap())
            })
            .collect();
        let found = problems(&text);
        count += 1;
        if found != expected {
            wrong += &format!(
                "{case}\n  expected {}\n  found    {}\n\n",
                expected.join("\n           "),
                found.join("\n           ")
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count > 90, "only {count} cases read");
}

#[test]
fn an_empty_file_says_what_to_begin_with() {
    assert_eq!(
        problems(""),
        [
            "x.toml:1: system: missing: add [system] with a `name`",
            "x.toml:1: sandbox: missing: describe at least one [[sandbox]]",
        ]
    );
}

#[test]
fn many_mistakes_are_reported_at_once_in_the_order_of_their_lines() {
    let text = "[system]\nname = \"x\"\ntrace = \"1MB\"\n[[sandbox]]\nname = \"a\"\n\
                [[sandbox.server]]\nname = \"v\"\nbudget = \"2ms\"\nperiod = \"1ms\"\nkind = 3\n\
                [[sandbox]]\nname = \"a\"\ncore = 1\n";
    let keys: Vec<String> = problems(text)
        .iter()
        .map(|line| line.splitn(4, ':').take(3).collect::<Vec<_>>().join(":"))
        .collect();
    assert_eq!(
        keys,
        [
            "x.toml:3: system.trace",
            "x.toml:4: sandbox.a.core",
            "x.toml:8: sandbox.a.server.v.budget",
            "x.toml:10: sandbox.a.server.v.kind",
            "x.toml:12: sandbox.a.name",
        ]
    );
}

/// A voter beside a driver that works for another voter.
#[test]
fn an_io_server_that_would_have_to_hand_on_what_it_inherits_is_refused() {
    let set = |name: &str| {
        format!(
            "[[device]]\nname = \"to {name}\"\nport = {0}\ninterrupt = {1}\n\
             [[replica_set]]\nname = \"{name}\"\nprogram = \"p\"\nvoting = \"unprotected\"\n\
             period = \"50ms\"\nballot_deadline = \"20ms\"\nverdict_deadline = \"30ms\"\n\
             device = \"to {name}\"\n\
             [[sandbox]]\nname = \"{name}\"\ncore = {2}\n[[sandbox.server]]\nname = \"s\"\n\
             budget = \"5ms\"\nperiod = \"50ms\"\n[[sandbox.server.thread]]\nname = \"t\"\n\
             wcet = \"1ms\"\nreplica = \"{name}\"\n",
            if name == "x" { "0x2f8" } else { "0x2e8" },
            if name == "x" { 3 } else { 5 },
            if name == "x" { 1 } else { 2 },
        )
    };
    let server = |name: &str, kind: &str, threads: &[&str]| {
        let threads = threads.iter().zip(0..).map(|(runs, number)| {
            format!("[[sandbox.server.thread]]\nname = \"{number}\"\nwcet = \"1ms\"\n{runs}\n")
        });
        format!(
            "[[sandbox.server]]\nname = \"{name}\"\nkind = \"{kind}\"\nbudget = \"5ms\"\n\
             period = \"50ms\"\n{}",
            threads.collect::<String>()
        )
    };
    let arbitrator = |middle: &[&str], more: &str| {
        format!(
            "[system]\nname = \"chain\"\n[[sandbox]]\nname = \"arbitrator\"\ncore = 0\n\
             devices = [\"to x\", \"to y\"]\n{}{}{}{more}{}{}",
            server("first", "sporadic", &["voter = \"x\""]),
            server("middle", "io", middle),
            server("last", "io", &["driver = \"to y\""]),
            set("x"),
            set("y")
        )
    };
    let (voter, driver) = ("voter = \"y\"", "driver = \"to x\"");
    assert_eq!(
        problems(&arbitrator(&[voter, driver], "")),
        [
            "x.toml:18: sandbox.arbitrator.server.middle.kind: it has a voter that sends through \
             server \"last\", and inherits from server \"first\", which would not be handed on: \
             give the voter a server of its own"
        ]
    );
    let own = server("own", "io", &[voter]);
    assert_eq!(problems(&arbitrator(&[driver], &own)), [""; 0]);
}

#[test]
fn what_can_be_simulated_but_not_booted_is_a_warning() {
    let warnings = |head: &str| {
        let (text, at) = changed(head);
        let description = Description::parse("x.toml", &text).expect("sound");
        let boots = description.validate_bootable().is_ok();
        let shown = description
            .warnings
            .iter()
            .map(|it| format!("{:+} {}: {}", it.line as isize - at, it.key, it.reason));
        (shown.collect::<Vec<String>>(), boots)
    };
    for (head, warning, boots) in [
        (
            "budget = \"10ms\" => budget = \"46ms\"",
            "-2 sandbox.alpha.server: overload: its servers ask for 102.0% of a core",
            false,
        ),
        (
            "wcet = \"1ms\" => wcet = \"21ms\"",
            "+0 sandbox.alpha.server.attitude.thread.attitude.wcet: 21ms is above the period, 20ms: jobs pile up",
            true,
        ),
        (
            "wcet = \"1ms\" => wcet = \"1ms\" ⏎ jobs = [{ at = \"0s\", work = \"2ms\" }]",
            "+0 sandbox.alpha.server.attitude.thread.attitude.wcet: a job of `jobs` is longer",
            true,
        ),
        (
            "[[channel]] => [[device]] ⏎ name = \"spare\" ⏎ port = 0x2e8 ⏎ interrupt = 5 ⏎ [[channel]]",
            "+0 device.spare: no sandbox has device \"spare\"",
            true,
        ),
        (
            "devices = [\"plant\"] => devices = [\"plant\", \"spare\"] ⏎ [[device]] ⏎ name = \"spare\" ⏎ \
             port = 0x2e8 ⏎ interrupt = 5",
            "+0 sandbox.arbitrator.devices: nothing drives device \"spare\", whose interrupts go \
             nowhere: give a thread `driver = \"spare\"`",
            true,
        ),
    ] {
        assert_eq!(warnings(head), (vec![warning.to_owned()], boots), "{head}");
    }
}

#[test]
fn what_is_in_the_way_of_booting_is_named() {
    for (head, expected) in [
        (
            "memory = \"16MiB\" =>",
            "x.toml:17: sandbox.alpha.memory: missing: a sandbox that boots needs memory, such as \"16MiB\"",
        ),
        (
            "doorbell = \"50ms\" => doorbell = \"99us\"",
            "x.toml:108: channel.log.doorbell: 99us is too short for a machine, a doorbell rings at \
             most every 100us",
        ),
        (
            "budget = \"2ms\" => budget = \"19us\"",
            "x.toml:34: sandbox.alpha.server.attitude.budget: 19us is too short for a machine, where \
             a server's budget is at least 20us: raise budget and period, or give [machine] another \
             `least_budget`",
        ),
        (
            "cores = 4 => cores = 4 ⏎ least_budget = \"1.5ms\"",
            "x.toml:97: sandbox.arbitrator.server.plant.budget: 1ms is too short for a machine, where \
             a server's budget is at least 1.5ms: raise budget and period, or give [machine] another \
             `least_budget`",
        ),
        (
            "driver = \"plant\" => program = \"load\" ⏎ wcet = \"1ms\" ⏎ period = \"5ms\"",
            "x.toml:120: replica_set.controller.device: device \"plant\" has no driver in the voter's \
             sandbox, \"arbitrator\": give a thread there `driver = \"plant\"`",
        ),
    ] {
        let description = Description::parse("x.toml", &changed(head).0).expect("sound");
        assert_eq!(
            description.validate_bootable().unwrap_err().to_string(),
            expected
        );
    }
}

/// A sandbox with memory and these servers, each with so many threads of a program.
fn large(memory: &str, servers: usize, threads: usize, more: &str) -> String {
    let thread = |number: usize| {
        format!(
            "[[sandbox.server.thread]]\nname = \"t{number}\"\nwcet = \"20us\"\nperiod = \"1s\"\n\
             program = \"load\"\n"
        )
    };
    let threads: String = (0..threads).map(thread).collect();
    let server = |number: usize| {
        format!(
            "[[sandbox.server]]\nname = \"s{number}\"\nbudget = \"1ms\"\nperiod = \"1s\"\n{threads}"
        )
    };
    let servers: String = (0..servers).map(server).collect();
    format!(
        "[system]\nname = \"large\"\n[[sandbox]]\nname = \"a\"\ncore = 0\n\
         memory = \"{memory}\"\n{more}{servers}"
    )
}

#[test]
fn limits_of_the_images_are_known_before_there_is_one() {
    let replicas: String = (0..9)
        .map(|core| {
            format!(
                "[[sandbox]]\nname = \"r{core}\"\ncore = {core}\n[[sandbox.server]]\nname = \"s\"\n\
                 budget = \"2ms\"\nperiod = \"1s\"\n[[sandbox.server.thread]]\nname = \"t\"\n\
                 wcet = \"1ms\"\nreplica = \"set\"\n"
            )
        })
        .collect();
    let voted = format!(
        "[system]\nname = \"nine\"\n[[replica_set]]\nname = \"set\"\nprogram = \"p\"\n\
         period = \"1s\"\nballot_deadline = \"500ms\"\nverdict_deadline = \"600ms\"\n{replicas}\
         [[sandbox]]\nname = \"v\"\ncore = 9\n[[sandbox.server]]\nname = \"v\"\nbudget = \"2ms\"\n\
         period = \"1s\"\n[[sandbox.server.thread]]\nname = \"v\"\nwcet = \"1ms\"\n\
         voter = \"set\"\n"
    );
    let long = "x".repeat(4096);
    // Each of the 63 takes some 32 KiB in the hypervisor's 1 MiB.
    let one = large("64MiB", 64, 2, "");
    let (head, sandbox) = one.split_at(one.find("[[sandbox]]").unwrap());
    let many: String = (0..63)
        .map(|number| {
            let sandbox = sandbox.replacen("\"a\"", &format!("\"a{number}\""), 1);
            sandbox.replacen("core = 0", &format!("core = {number}"), 1)
        })
        .collect();
    for (text, expected) in [
        (
            large("16MiB", 65, 1, ""),
            "x.toml:7: sandbox.a.server: 65 servers, the sandbox kernel schedules at most 64: move some \
             to another sandbox",
        ),
        (
            large("16MiB", 43, 3, ""),
            "x.toml:7: sandbox.a.server: 129 threads, the sandbox kernel schedules at most 128: move \
             some to another sandbox",
        ),
        (
            large("16MiB", 1, 1, "").replace("core = 0", "core = 70"),
            "x.toml:5: sandbox.a.core: core 70 is beyond those that the hypervisor knows, 0 to 63",
        ),
        (
            large("4GiB", 1, 1, ""),
            "x.toml:6: sandbox.a.memory: a sandbox has at most 3GiB, not 4GiB",
        ),
        (
            // 128 stacks of 32 KiB, and for each program 8 pages of tables and 8 of its own.
            large("12MiB", 64, 2, ""),
            "x.toml:6: sandbox.a.memory: 12MiB is less than the kernel, its page tables and stacks, and \
             the heaps and stacks of its programs take, 15168KiB: write \"16MiB\" or more",
        ),
        (
            large("16MiB", 1, 1, &format!("command_line = \"{long}\"\n")),
            "x.toml:7: sandbox.a.command_line: 4096 bytes, a guest is handed at most 4095",
        ),
        (
            voted,
            "x.toml:3: replica_set.set.voting: 9 replicas, a voter counts at most 8: take some of the \
             threads with `replica = \"set\"` away",
        ),
        (
            format!("{head}{many}"),
            "x.toml:1: system: the description takes 2056 KiB at boot, and the hypervisor has 1024: \
             describe fewer threads or channels",
        ),
    ] {
        assert_eq!(problems(&text), [expected]);
    }
    // Without memory it is for analysis alone; and what is within the limits is sound.
    assert_eq!(
        problems(&large("16MiB", 65, 1, "").replace("memory", "# ")),
        [""; 0]
    );
    assert_eq!(problems(&large("18MiB", 64, 2, "")), [""; 0]);
    assert_eq!(
        problems(&large("3GiB", 1, 1, "").replace("core = 0", "core = 63")),
        [""; 0]
    );
}

/// The number of a size, a duration or a count as people write it.
fn number(text: &str) -> Option<u64> {
    let sizes = tern_config::description::parse_size(text).ok();
    let durations = tern_config::description::parse_duration(text).ok();
    sizes.or(durations).or(text.parse().ok())
}

/// Whether what a message says of `value` is so: that it should be in a range, at least or at
/// most something, a multiple or a power. `None` if it says none of these.
fn is_true(message: &str, value: u64) -> Option<bool> {
    let after = |words: &str| {
        let (_, rest) = message.split_once(words)?;
        let word = rest.split([' ', ',', ':', ')']).next()?;
        number(word)
    };
    let checks = [
        after("at least ").map(|least| value < least),
        after("at most ").map(|most| value > most),
        after("a multiple of ").map(|unit| !value.is_multiple_of(unit)),
        after(" is above the period, ").map(|period| value > period),
        message.contains("above zero").then_some(value == 0),
        (message.contains("a power of two")).then_some(!value.is_power_of_two()),
        message.split_once("is not in ").and_then(|(_, range)| {
            let (low, high) = range.split_once(" to ")?;
            Some(!(number(low)?..=number(high)?).contains(&value))
        }),
    ];
    let said: Vec<bool> = checks.into_iter().flatten().collect();
    (!said.is_empty()).then(|| said.iter().all(|it| *it))
}

/// "A channel is a multiple of 4KiB, 128GiB is not": it is, and too large.
#[test]
fn what_a_message_says_of_a_number_is_so() {
    let sizes: Vec<String> = [
        0,
        1,
        4095,
        4096,
        5000,
        8192,
        64 << 10,
        96 << 10,
        1 << 20,
        2 << 20,
        3 << 20,
        4 << 20,
        5 << 20,
        1 << 30,
        2 << 30,
        3 << 30,
        64 << 30,
        65 << 30,
        128 << 30,
        (128 << 30) + 1,
    ]
    .map(tern_config::description::show_size)
    .to_vec();
    let counts = [
        "0", "1", "2", "15", "16", "255", "256", "257", "4095", "4096", "70000",
    ];
    let counts: Vec<String> = counts.map(String::from).to_vec();
    let spans = [
        "0s",
        "1ns",
        "19us",
        "20us",
        "99us",
        "100us",
        "30ms",
        "1s",
        "1000000000s",
    ];
    let spans: Vec<String> = spans.map(String::from).to_vec();
    let quoted = |list: &[String]| list.iter().map(|it| format!("\"{it}\"")).collect();
    let mut said = 0;
    for (line, key, values) in [
        ("trace = \"4MiB\"", "trace", quoted(&sizes)),
        ("size = \"8KiB\"", "size", quoted(&sizes)),
        ("memory = \"16MiB\"", "memory", quoted(&sizes)),
        ("memory = \"256MiB\"", "memory", quoted(&sizes)),
        ("heap_pages = 96", "heap_pages", counts.clone()),
        ("core = 1", "core", counts.clone()),
        ("interrupt = 3", "interrupt", counts.clone()),
        ("cores = 4", "cores", counts.clone()),
        ("budget = \"10ms\"", "budget", quoted(&spans)),
        ("doorbell = \"50ms\"", "doorbell", quoted(&spans)),
        ("wcet = \"1ms\"", "wcet", quoted(&spans)),
    ] {
        for written in &values {
            let (text, at) = changed(&format!("{line} => {key} = {written}"));
            let all: Vec<String> = match Description::parse("x.toml", &text) {
                Err(problems) => problems.to_string().lines().map(str::to_owned).collect(),
                Ok(sound) => {
                    let unbootable = sound.validate_bootable().err();
                    let unbootable = unbootable.map(|it| it.to_string()).unwrap_or_default();
                    unbootable.lines().map(str::to_owned).collect()
                }
            };
            let here = format!("x.toml:{at}: ");
            for message in all.iter().filter_map(|it| it.strip_prefix(&here)) {
                let value = number(written.trim_matches('"')).unwrap();
                if let Some(so) = is_true(message, value) {
                    assert!(so, "{written}: {message}");
                    said += 1;
                }
            }
        }
    }
    assert!(said > 45, "{said} messages say something of a number");
}

#[test]
fn a_file_that_cannot_be_read_says_so() {
    let path = std::path::Path::new("no-such-folder/x.toml");
    let error = Description::read(path).unwrap_err().to_string();
    assert!(
        error.starts_with("no-such-folder/x.toml: cannot be read: "),
        "{error}"
    );
}

#[test]
fn a_folder_is_not_a_description_and_the_files_in_it_are_named() {
    let base = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let said = |folder: &str| {
        let folder = base.join(folder);
        let error = Description::read(&folder).unwrap_err().to_string();
        error.replace(&format!("{}", base.display()), "base/config")
    };
    assert_eq!(
        said("../../systems/pendulum").trim_end(),
        "base/config/../../systems/pendulum: a folder: name a file, \
         base/config/../../systems/pendulum/arbitrator-simulated.toml or \
         base/config/../../systems/pendulum/arbitrator.toml or \
         base/config/../../systems/pendulum/distributed.toml or \
         base/config/../../systems/pendulum/lockstep-simulated.toml or \
         base/config/../../systems/pendulum/lockstep.toml"
    );
    assert_eq!(
        said("src").trim_end(),
        "base/config/src: a folder without descriptions (TOML files): name a file"
    );
}

/// Words that descriptions are made of, put together at random.
fn fragment() -> impl Strategy<Value = String> {
    let words = [
        "[system]",
        "[[sandbox]]",
        "[[sandbox.server]]",
        "[[sandbox.server.thread]]",
        "[[channel]]",
        "[[replica_set]]",
        "[[device]]",
        "[machine]",
        "name",
        "core",
        "memory",
        "budget",
        "period",
        "jobs",
        "replica",
        "voter",
        "driver",
        "readers",
        "priority",
        "=",
        "\"x\"",
        "\"1ms\"",
        "\"2MiB\"",
        "0",
        "-1",
        "99999999999999999999",
        "1.5",
        "[",
        "]",
        "{",
        "}",
        ",",
        "\n",
        "\n",
        "\"",
        "\u{0}",
        "é",
    ];
    proptest::sample::select(words.to_vec()).prop_map(str::to_owned)
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,400}") {
        let _ = Description::parse("x.toml", &text);
    }

    #[test]
    fn no_mixture_of_words_makes_the_reader_panic(
        words in proptest::collection::vec(fragment(), 0..80),
    ) {
        let _ = Description::parse("x.toml", &words.join(" "));
    }

    #[test]
    fn no_change_of_a_byte_makes_the_reader_panic(at in 0..FULL.len(), byte in any::<char>()) {
        let mut text: Vec<char> = FULL.chars().collect();
        text[at] = byte;
        let text: String = text.into_iter().collect();
        if let Ok(description) = Description::parse("x.toml", &text) {
            prop_assert!(description.system.references_hold());
            let _ = description.validate_bootable();
            prop_assert!(description.system.unprotected().references_hold());
        }
    }

    #[test]
    fn no_loss_of_a_line_makes_the_reader_panic(from in 0..118_usize, count in 1..20_usize) {
        let lines = FULL.lines().enumerate();
        let kept = lines.filter(|(index, _)| *index < from || *index >= from + count);
        let text: Vec<&str> = kept.map(|(_, line)| line).collect();
        if let Ok(description) = Description::parse("x.toml", &text.join("\n")) {
            prop_assert!(description.system.references_hold());
        }
    }
}
