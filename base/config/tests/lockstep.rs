//! Sets of two in lock-step: what they are given, and what is refused.
use tern_config::heap::kernel_heap;
use tern_config::{Description, Voting};

/// A set of so many replicas, each with a voter, of which that of number `device` has the device.
fn text(replicas: usize, device: usize) -> String {
    let mut text = String::from("[system]\nname = \"set\"\n");
    text += "[[device]]\nname = \"plant\"\nport = 0x2f8\ninterrupt = 3\n";
    for core in 0..replicas {
        let (devices, driver) = match core == device {
            true => (
                "devices = [\"plant\"]",
                "  { name = \"plant\", kind = \"io\", budget = \"1ms\", period = \"20ms\", thread = [\n    \
                 { name = \"plant-io\", driver = \"plant\", wcet = \"100us\", period = \"1ms\" } ] },",
            ),
            false => ("", ""),
        };
        text += &format!(
            r#"
[[sandbox]]
name = "box-{core}"
core = {core}
memory = "8MiB"
{devices}
server = [
{driver}
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
voting = "lockstep"
heap_pages = 100
period = "100ms"
ballot_deadline = "40ms"
verdict_deadline = "75ms"
"#
}

#[test]
fn the_device_stays_with_the_replica_that_has_it() {
    for device in 0..2 {
        let read = Description::parse("x.toml", &text(2, device)).unwrap();
        assert!(read.warnings.is_empty(), "{:?}", read.warnings);
        let system = read.system;
        let set = &system.replica_sets[0];
        let voting = Voting::Lockstep {
            device: device as u8,
        };
        assert_eq!(set.voting, voting);
        let drivers: Vec<u32> = set.drivers().map(|it| it.sandbox).collect();
        assert_eq!(drivers, [device as u32]);
        assert!(!system.devices[0].is_shared());
        assert!(system.references_hold());

        let sealed = system.channels.iter().filter(|it| it.close.is_some());
        assert_eq!(sealed.count(), 4, "two ballots and two verdicts");
        let alone = system.unprotected();
        assert_eq!(alone.sandboxes.len(), 1);
        assert_eq!(alone.sandboxes[0].name, format!("box-{device}"));
        assert!(alone.references_hold());
    }
}

#[test]
fn the_kernel_has_room_for_a_second_copy_of_each_page() {
    let lockstep = Description::parse("x.toml", &text(2, 0)).unwrap().system;
    let mut distributed = lockstep.clone();
    distributed.replica_sets[0].voting = Voting::Distributed;
    let heap = |system| kernel_heap(system, 0, |_| 20);
    let pages = lockstep.replica_sets[0].pages(20);
    let more = heap(&lockstep) - heap(&distributed);
    assert!(more.abs_diff(pages * (4096 + 8)) <= 4096, "{more}");
}

#[test]
fn what_does_not_fit_together_is_refused_with_what_to_write() {
    let three = text(3, 0);
    for (text, problem) in [
        (
            three,
            "replica_set.control.voting: two replicas run in lock-step, there are 3: give a thread \
             `replica = \"control\"` in each of two sandboxes",
        ),
        (
            text(1, 0),
            "replica_set.control.voting: two replicas run in lock-step, there are 1",
        ),
        (
            text(2, 7),
            "replica_set.control.device: device \"plant\" is not the voter's: add it to the `devices` \
             of \"box-0\"",
        ),
        (
            text(2, 1).replacen(
                "core = 0\nmemory",
                "core = 0\ndevices = [\"plant\"]\nmemory",
                1,
            ),
            "sandbox.box-1.devices: device \"plant\" is sandbox \"box-0\"'s already",
        ),
        (
            text(2, 0).replacen(
                "    { name = \"voter\", voter = \"control\", wcet = \"5ms\" } ] },",
                "    ] },",
                1,
            ),
            "replica_set.control.voting: sandbox \"box-0\" has a replica and no voter: give a thread \
             there `voter = \"control\"`",
        ),
        (
            text(2, 0).replacen("heap_pages = 100", "heap_pages = 1000", 1),
            "sandbox.box-0.memory: 8MiB is less than the kernel",
        ),
        (
            text(2, 0).replacen("\"lockstep\"", "{ kind = \"lockstep\", device = 1 }", 1),
            "replica_set.control.voting.device: unknown",
        ),
    ] {
        let found = Description::parse("x.toml", &text).unwrap_err().to_string();
        assert!(found.contains(problem), "expected {problem}\nfound {found}");
    }
}
