//! Sets whose voters are beside their replicas: what they are given, and what is refused.
use tern_config::{Description, Voting};

/// A set of so many replicas, each with a voter and a driver of the device in its sandbox.
fn text(replicas: usize) -> String {
    let mut text = String::from("[system]\nname = \"set\"\n");
    text += "[[device]]\nname = \"plant\"\nport = 0x2f8\ninterrupt = 3\n";
    for core in 0..replicas {
        text += &format!(
            r#"
[[sandbox]]
name = "box-{core}"
core = {core}
memory = "8MiB"
devices = ["plant"]
server = [
  {{ name = "plant", kind = "io", budget = "1ms", period = "20ms", thread = [
    {{ name = "plant-io", driver = "plant", wcet = "100us", period = "1ms" }} ] }},
  {{ name = "voter", budget = "10ms", period = "100ms", thread = [
    {{ name = "voter", voter = "control", wcet = "5ms" }} ] }},
  {{ name = "control", budget = "25ms", period = "100ms", thread = [
    {{ name = "replica", replica = "control", wcet = "8ms" }} ] }} ]
"#
        );
    }
    text + r#"
[[replica_set]]
name = "control"
program = "controller"
device = "plant"
voting = "distributed"
period = "100ms"
ballot_deadline = "40ms"
verdict_deadline = "75ms"
"#
}

const MS: u64 = 1_000_000;

#[test]
fn each_sandbox_has_a_sealed_ballot_and_a_sealed_verdict_and_an_open_channel() {
    let system = Description::parse("x.toml", &text(3)).unwrap().system;
    let set = &system.replica_sets[0];
    assert_eq!(set.voting, Voting::Distributed);
    let places = |of: &[tern_config::ThreadRef]| -> Vec<(u32, u32)> {
        of.iter().map(|it| (it.sandbox, it.server)).collect()
    };
    assert_eq!(places(&set.voters), [(0, 1), (1, 1), (2, 1)]);
    assert_eq!(places(&set.replicas), [(0, 2), (1, 2), (2, 2)]);
    let channels = system.channels.iter().map(|channel| {
        let times = (channel.seal, channel.seal_from, channel.close);
        (channel.name.as_str(), channel.writer, times)
    });
    let verdict = (Some(100 * MS), 40 * MS, Some(75 * MS));
    let ballot = (Some(100 * MS), 0, Some(40 * MS));
    assert_eq!(
        channels.collect::<Vec<_>>(),
        [
            ("control.box-0.voter", 0, verdict),
            ("control.box-1.voter", 1, verdict),
            ("control.box-2.voter", 2, verdict),
            ("control.box-0", 0, (None, 0, None)),
            ("control.box-1", 1, (None, 0, None)),
            ("control.box-2", 2, (None, 0, None)),
            ("control.box-0.ballot", 0, ballot),
            ("control.box-1.ballot", 1, ballot),
            ("control.box-2.ballot", 2, ballot),
        ]
    );
    for channel in &system.channels {
        let others: Vec<u32> = (0..3).filter(|it| *it != channel.writer).collect();
        assert_eq!(channel.readers, others, "{}", channel.name);
    }
    assert_eq!(set.voter_channels, [0, 1, 2]);
    assert_eq!(set.replica_channels, [3, 4, 5]);
    assert_eq!(set.ballot_channels, [6, 7, 8]);
    assert!(system.references_hold());
}

#[test]
fn voters_are_in_the_order_of_the_replicas_wherever_they_are_in_the_file() {
    let text = text(3);
    let (head, rest) = text.split_once("\n[[sandbox]]").unwrap();
    let (boxes, set) = rest.split_once("\n[[replica_set]]").unwrap();
    let mut boxes: Vec<&str> = boxes.split("\n[[sandbox]]").collect();
    boxes.reverse();
    let boxes = boxes.join("\n[[sandbox]]");
    let text = format!("{head}\n[[sandbox]]{boxes}\n[[replica_set]]{set}");
    let system = Description::parse("x.toml", &text).unwrap().system;
    let set = &system.replica_sets[0];
    let both = set.voters.iter().zip(&set.replicas);
    assert!(
        both.clone()
            .all(|(one, other)| one.sandbox == other.sandbox)
    );
    assert_eq!(both.count(), 3);
}

#[test]
fn one_copy_alone_keeps_its_voter_and_its_device() {
    let system = Description::parse("x.toml", &text(3)).unwrap().system;
    let alone = system.unprotected();
    let set = &alone.replica_sets[0];
    assert_eq!(
        (alone.sandboxes.len(), set.replicas.len(), set.voters.len()),
        (1, 1, 1)
    );
    assert_eq!((set.voting, set.device), (Voting::Unprotected, Some(0)));
    assert!(alone.references_hold());
    let sealed = alone.channels.iter().filter(|it| it.seal.is_some());
    assert_eq!(sealed.count(), 0);
}

/// A second set, with a device of its own, in the same sandboxes.
fn two_sets() -> String {
    let device = "[[device]]\nname = \"other\"\nport = 0x3e8\ninterrupt = 4\n[[sandbox]]";
    let text = text(3).replacen("[[sandbox]]", device, 1);
    let text = text.replace("devices = [\"plant\"]", "devices = [\"plant\", \"other\"]");
    text + "[[replica_set]]\nname = \"second\"\nprogram = \"second\"\ndevice = \"other\"\n\
            voting = \"distributed\"\nperiod = \"100ms\"\nballot_deadline = \"40ms\"\n\
            verdict_deadline = \"75ms\"\n"
}

#[test]
fn what_does_not_fit_together_is_refused_with_what_to_write() {
    let voter = "    { name = \"voter\", voter = \"control\", wcet = \"5ms\" } ] },\n";
    let without_voter = text(3).replacen(voter, "    ] },\n", 1);
    let outside = text(3)
        + "[[sandbox]]\nname = \"other\"\ncore = 3\nserver = [ { name = \"voter\", budget = \"10ms\", \
           period = \"100ms\", thread = [ { name = \"voter\", voter = \"control\", wcet = \"5ms\" } ] \
           } ]\n";
    let twice = text(3).replacen(
        voter,
        "    { name = \"voter\", voter = \"control\", wcet = \"5ms\" },\n    { name = \"again\", voter \
         = \"control\", wcet = \"5ms\" } ] },\n",
        1,
    );
    for (text, problem) in [
        (
            text(2),
            "replica_set.control.voting: a majority vote needs three replicas, there are 2: give \
             threads `replica = \"control\"` in more sandboxes",
        ),
        (
            without_voter,
            "replica_set.control.voting: sandbox \"box-0\" has a replica and no voter: give a thread \
             there `voter = \"control\"`",
        ),
        (
            outside,
            "sandbox.other.server.voter.thread.voter.voter: sandbox \"other\" has no replica of set \
             \"control\", whose voters are beside its replicas: give a thread here `replica = \
             \"control\"`, or take this one out",
        ),
        (
            twice,
            "sandbox.box-0.server.voter.thread.again.voter: sandbox \"box-0\" has a voter of set \
             \"control\" already",
        ),
        (
            text(3).replacen("devices = [\"plant\"]\n", "", 1),
            "replica_set.control.device: device \"plant\" is not the voter's: add it to the `devices` \
             of \"box-0\"",
        ),
        (
            text(3).replacen(
                "\"distributed\"",
                "{ kind = \"distributed\", seal = false }",
                1,
            ),
            "replica_set.control.voting.seal: unknown",
        ),
        (
            two_sets(),
            "sandbox.box-0.devices: \"plant\" and \"other\" both go from sandbox to sandbox: a sandbox \
             has one such device, put a replica of one of their sets elsewhere",
        ),
        (
            text(3).replacen("voting = \"distributed\"\n", "", 1),
            "sandbox.box-1.devices: device \"plant\" is sandbox \"box-0\"'s already",
        ),
    ] {
        let found = Description::parse("x.toml", &text).unwrap_err().to_string();
        assert!(found.contains(problem), "expected {problem}\nfound {found}");
    }
}
