//! The kinds of record. Their numbers are part of the trace's format: never reuse one.

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal, $wide:literal;)*) => {
        /// What a record tells. `docs/trace.md` says what each kind's fields hold.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Kind {
            $($(#[$doc])* $name = $number,)*
        }

        impl Kind {
            /// Every kind, by number.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The kind with this number.
            #[must_use]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Its name in reports.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// Whether a continuation record follows with a 64-bit argument.
            #[must_use]
            pub const fn is_wide(self) -> bool {
                match self {
                    $(Self::$name => $wide,)*
                }
            }
        }
    };
}

kinds! {
    /// A job is released: object thread, argument job.
    Release = 1, "release", false;
    /// The core turns to a thread: object thread, or [`Kind::IDLE`].
    Switch = 2, "switch", false;
    /// A thread blocks: object thread; of one that sleeps, argument and flags the lowest bits
    /// of the instant at which it wakes.
    Block = 3, "block", false;
    /// A job is complete: object thread, argument job.
    Complete = 4, "complete", false;
    /// A job missed its deadline: object thread, argument job.
    Miss = 5, "miss", false;
    /// A server's budget is exhausted: object server; the last of what it used: amount,
    /// continuation the time at which it returns.
    Exhaust = 6, "exhaust", true;
    /// A replenishment is posted: object server, amount, continuation its time.
    ReplenishPosted = 7, "replenish-posted", true;
    /// A replenishment is applied: object server, amount.
    ReplenishApplied = 8, "replenish-applied", false;
    /// An interrupt handler begins: object vector.
    InterruptIn = 9, "interrupt-in", false;
    /// An interrupt handler ends: object vector.
    InterruptOut = 10, "interrupt-out", false;
    /// A system call: object thread, argument number.
    SystemCall = 11, "system-call", false;
    /// A hypercall: object number.
    Hypercall = 12, "hypercall", false;
    /// Exits to the hypervisor: object reason, argument how many since the last record.
    Exit = 13, "exit", false;
    /// A page is hashed: object replica set, argument page.
    Hash = 14, "hash", false;
    /// A ballot is cast: object replica set, argument epoch.
    Ballot = 15, "ballot", false;
    /// A vote is decided: object replica set, argument epoch, flags the outcome,
    /// continuation the faulty mask, donor and witness.
    Vote = 16, "vote", true;
    /// A round of repair begins: object replica set, argument differing pages.
    RepairStart = 17, "repair-start", false;
    /// A page is repaired: object replica set, argument page.
    RepairPage = 18, "repair-page", false;
    /// A round of repair ends: object replica set, argument pages copied, flags how.
    RepairEnd = 19, "repair-end", false;
    /// Clean pages are hashed anew: object replica set, argument the first page.
    Scrub = 20, "scrub", false;
    /// An epoch's input is frozen: object replica set, argument epoch, flags 1 if fresh.
    Input = 21, "input", false;
    /// A fault is seen: object its class, argument its detail, continuation the address.
    Fault = 22, "fault", true;
    /// Ties the counter to the time epoch: continuation nanoseconds since the epoch.
    ClockSync = 23, "clock-sync", true;
    /// A process exists: object thread, argument its page-table root's frame.
    Process = 24, "process", false;
    /// A repaired replica rejoins: object replica set, argument epoch.
    Rejoin = 25, "rejoin", false;
    /// A replica set stops safely: object replica set, argument epoch.
    Stop = 26, "stop", false;
    /// Records were dropped here: argument how many.
    Lost = 27, "lost", false;
    /// The 64-bit argument of the record before it.
    Continuation = 28, "continuation", false;
    /// Noise on a device's line: object device, argument bytes that were part of no frame,
    /// continuation errors of the line.
    Noise = 29, "noise", true;
    /// Nothing answers at a device's ports, and its driver has stopped: object device.
    NoDevice = 30, "no-device", false;
    /// A thread that waited is woken by another or by an interrupt: object thread.
    Wake = 31, "wake", false;
    /// A page is given to a replica under repair: object replica set, argument page.
    PageGiven = 32, "page-given", false;
    /// A page of a repair is confirmed: object replica set, argument page.
    PageConfirmed = 33, "page-confirmed", false;
    /// A voter withholds an epoch's output: object replica set, argument epoch, flags why.
    Withheld = 34, "withheld", false;
    /// A replica keeps what was agreed on: object replica set, argument pages copied.
    Checkpoint = 35, "checkpoint", false;
    /// A replica goes back to what was agreed last: object replica set, argument pages put back.
    RollBack = 36, "roll-back", false;
}

impl Kind {
    /// The object of a [`Kind::Switch`] to no thread.
    pub const IDLE: u16 = 0xFFFF;

    /// Counters in a ring's header: more than there are kinds, to leave room.
    pub const COUNTERS: usize = 64;
}

const _: () = assert!(Kind::ALL.len() < Kind::COUNTERS);

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn numbers_and_names_are_unique_and_zero_is_none() {
        assert_eq!(Kind::from_number(0), None);
        let names: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), Kind::ALL.len());
        for &kind in Kind::ALL {
            assert_eq!(Kind::from_number(kind as u8), Some(kind));
            assert!((kind as usize) < Kind::COUNTERS);
        }
        let known = (0..=u8::MAX)
            .filter(|&n| Kind::from_number(n).is_some())
            .count();
        assert_eq!(known, Kind::ALL.len());
    }
}
