//! Outputs that a voter withheld, in the summary, the marks and the records' words; and where no
//! voter can have withheld one.
mod common;

use common::{arbitrator, core, healthy, sound};
use tern_trace::{Event, Trace, VoteOutcome, VoteParties, WithheldReason};
use trace_viewer::export::json_lines;
use trace_viewer::read::SoundTrace;
use trace_viewer::report::html;
use trace_viewer::summary::Summary;

/// Microseconds from the release of epoch 5's vote, which stands 500 later and whose job ends 1000
/// later.
const VOTE: i64 = 5 * 50_000 + 20_000;

/// The healthy run in which the arbitrator's votes are `others`, and writes these records.
fn run(others: &[(u32, VoteOutcome, VoteParties)], records: &[(i64, Event)]) -> Trace {
    let mut events = arbitrator(10, others);
    events.extend(records.iter().copied());
    let mut trace = healthy();
    trace.cores[3] = core("arbitrator", events, &[30]);
    trace
}

fn withheld(epoch: u32, reason: WithheldReason) -> Event {
    let set = 0;
    Event::Withheld { set, epoch, reason }
}

#[test]
fn it_is_counted_marked_and_told_with_its_reason() {
    let trace = run(&[], &[(VOTE + 700, withheld(5, WithheldReason::Digest))]);
    let sound = sound(&trace);
    let summary = Summary::from_trace(&sound);
    let [found] = &summary.withheld[..] else {
        panic!("{:?}", summary.withheld);
    };
    assert_eq!(
        (found.set.as_str(), found.epoch, found.at_ns, found.reason),
        ("controller", 5, (VOTE + 700) * 1_000, "digest")
    );
    let line = "output of controller withheld in epoch 5 at 270.700ms: digest";
    assert!(summary.to_string().contains(line), "{summary}");
    assert!(html(&sound).contains("output withheld"));
    assert!(json_lines(&trace).contains("controller epoch 5 digest"));
    let none = Summary::from_trace(&common::sound(&healthy()));
    assert!(none.withheld.is_empty());
}

#[test]
fn only_a_voter_in_its_epoch_withholds_one_that_its_vote_does_not_deny() {
    use WithheldReason::{Digest, Late, NoVerdict};
    let nobody = VoteParties::NOBODY;
    let lost = VoteParties {
        faulty: 0b111,
        donor: nobody,
        witness: nobody,
    };
    let none = [(5, VoteOutcome::NoMajority, lost)];
    let all: &[(u32, VoteOutcome, VoteParties)] = &[];
    let (before, after) = (VOTE + 300, VOTE + 700);
    for (votes, records, wrong) in [
        (all, vec![(after, withheld(5, Late))], None),
        (all, vec![(after, withheld(5, NoVerdict))], None),
        (&none[..], vec![(after, withheld(5, NoVerdict))], None),
        (all, vec![(before, withheld(5, Late))], None),
        (
            all,
            vec![(before, withheld(5, Digest))],
            Some("releases none"),
        ),
        (
            &none[..],
            vec![(after, withheld(5, Digest))],
            Some("releases none"),
        ),
        (
            &none[..],
            vec![(after, withheld(5, Late))],
            Some("releases none"),
        ),
        (
            all,
            vec![(after, withheld(4, Late))],
            Some("of epoch 4 in epoch 5"),
        ),
        (
            all,
            vec![(after, withheld(5, Late)), (after + 50, withheld(5, Late))],
            Some("withheld twice in epoch 5"),
        ),
        (
            all,
            vec![(VOTE + 5_000, withheld(5, Late))],
            Some("nobody has the core"),
        ),
    ] {
        let trace = run(votes, &records);
        let said = SoundTrace::of(&trace).err().map(|it| it.to_string());
        match (wrong, &said) {
            (None, None) => {}
            (Some(wrong), Some(said)) if said.contains(wrong) => {}
            _ => panic!("{records:?}: {said:?}"),
        }
    }
    // A replica's sandbox has no voter.
    let mut events = common::replica(10);
    events.push((VOTE, withheld(5, Late)));
    let trace = common::with_alpha(core("alpha", events, &[40]));
    let said = SoundTrace::of(&trace).err().map(|it| it.to_string());
    assert!(said.is_some_and(|it| it.contains("no voter of controller is here")));
}
