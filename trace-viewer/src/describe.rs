//! Events in words, with the names of the system description.
use tern_trace::{Event, LineErrors, SleepEnd, Trace, VoteOutcome, VoteParties};
use tern_units::Instant;

use crate::layout::Layout;
use crate::names::{is_stale, outcome_name, result_name, withheld_name};
use crate::table::{count, exact_instant};

/// What an event of a core, with its time, says, without its time, sandbox and kind.
#[must_use]
pub fn describe(
    (at, event): (i64, Event),
    core: usize,
    layout: &Layout,
    exit_reason: &str,
) -> String {
    let names = &layout.cores[core];
    let thread = |thread: u16| names.thread_name(thread);
    let server = |server: u16| names.server_name(server);
    let set = |set: u16| layout.set_name(set);
    match event {
        Event::Release {
            thread: number,
            job,
        }
        | Event::Complete {
            thread: number,
            job,
        }
        | Event::Miss {
            thread: number,
            job,
        } => format!("{} job {job}", thread(number)),
        Event::Switch { thread: None } => "idle".to_string(),
        Event::Switch {
            thread: Some(number),
        }
        | Event::Block {
            thread: number,
            until: None,
        }
        | Event::Wake {
            thread: number,
            until: None,
        } => thread(number),
        Event::Block {
            thread: number,
            until: Some(until),
        }
        | Event::Wake {
            thread: number,
            until: Some(until),
        } => format!("{} until {}", thread(number), sleep_end(at, until)),
        Event::Exhaust {
            server: number,
            amount,
            at,
        }
        | Event::ReplenishPosted {
            server: number,
            amount,
            at,
        } => {
            let back = exact_instant(Trace::within_horizon(at.as_nanos()));
            format!("{} {amount} returns at {back}", server(number))
        }
        Event::ReplenishApplied {
            server: number,
            amount,
        } => {
            format!("{} {amount}", server(number))
        }
        Event::InterruptIn { vector } | Event::InterruptOut { vector } => format!("{vector:#04x}"),
        Event::SystemCall {
            thread: number,
            number: call,
        } => {
            format!("{} number {call}", thread(number))
        }
        Event::Hypercall { number } => format!("number {number}"),
        Event::Exit { count, .. } => format!("{exit_reason} {count}"),
        Event::Hash { set: number, page }
        | Event::RepairPage { set: number, page }
        | Event::PageGiven { set: number, page }
        | Event::PageConfirmed { set: number, page } => {
            format!("{} page {page}", set(number))
        }
        Event::Scrub { set: number, first } => format!("{} from page {first}", set(number)),
        Event::Ballot { set: number, epoch }
        | Event::Rejoin { set: number, epoch }
        | Event::Stop { set: number, epoch } => format!("{} epoch {epoch}", set(number)),
        Event::Checkpoint { set: number, pages } => {
            let pages = count(pages.into(), "page");
            format!("{} {pages} kept", set(number))
        }
        Event::RollBack { set: number, pages } => {
            let pages = count(pages.into(), "page");
            format!("{} {pages} put back", set(number))
        }
        Event::Withheld {
            set: number,
            epoch,
            reason,
        } => format!("{} epoch {epoch} {}", set(number), withheld_name(reason)),
        Event::Vote {
            set: number,
            epoch,
            outcome,
            parties,
        } => {
            let vote = format!("{} epoch {epoch} {}", set(number), outcome_name(outcome));
            vote + &against(number, outcome, parties, layout)
        }
        Event::RepairStart {
            set: number,
            differing,
        } => {
            let pages = count(differing.into(), "page");
            format!("{} {pages} differing", set(number))
        }
        Event::RepairEnd {
            set: number,
            copied,
            result,
        } => {
            let (pages, result) = (count(copied.into(), "page"), result_name(result));
            format!("{} {pages} copied, {result}", set(number))
        }
        Event::Input {
            set: number,
            epoch,
            fresh,
        } => {
            let age = match (fresh, is_stale(epoch, fresh)) {
                (true, _) => "fresh",
                (false, true) => "stale",
                (false, false) => "not asked for yet",
            };
            format!("{} epoch {epoch} {age}", set(number))
        }
        Event::Fault {
            class,
            detail,
            address,
        } => {
            let thread = u16::try_from(detail).map_or_else(|_| detail.to_string(), thread);
            format!("{thread} vector {class} at {address:#x}")
        }
        Event::ClockSync { now } => exact_instant(Trace::within_horizon(now.as_nanos())),
        Event::Process {
            thread: number,
            root_frame,
        } => {
            format!(
                "{} page tables at {:#x}",
                thread(number),
                u64::from(root_frame) << 12
            )
        }
        Event::Lost { count: lost } => count(lost.into(), "record"),
        Event::Noise {
            device,
            bytes,
            errors,
        } => {
            let LineErrors {
                overruns,
                parity,
                framing,
                breaks,
            } = errors;
            format!(
                "device {device}: {}, {overruns} overruns, {parity} parity errors, \
                 {framing} framing errors, {breaks} breaks",
                count(bytes.into(), "byte")
            )
        }
        Event::NoDevice { device } => format!("device {device} does not answer"),
    }
}

/// The instant that a thread sleeps until, as far as its record has it.
fn sleep_end(at: i64, until: SleepEnd) -> String {
    let from = Instant::from_nanos(at.max(0).unsigned_abs());
    exact_instant(Trace::within_horizon(until.not_before(from).as_nanos()))
}

fn against(set: u16, outcome: VoteOutcome, parties: VoteParties, layout: &Layout) -> String {
    if outcome == VoteOutcome::Unanimous {
        return String::new();
    }
    let faulty: Vec<_> = replicas(parties.faulty)
        .map(|n| layout.replica_name(set, n))
        .collect();
    let mut text = format!(" against {}", faulty.join(" and "));
    for (role, replica) in [("donor", parties.donor), ("witness", parties.witness)] {
        if replica != VoteParties::NOBODY {
            text += &format!(", {role} {}", layout.replica_name(set, replica));
        }
    }
    text
}

/// The replicas of a mask.
pub fn replicas(mask: u32) -> impl Iterator<Item = u16> {
    (0..32).filter(move |&replica| mask >> replica & 1 == 1)
}
