//! Devices that sandboxes share: whose each is, who may have it next, and how it leaves whoever has
//! it. What says whom a majority takes for the owner is in `tern_abi::ownership`.
//!
//! One word says who the owner is. It is changed by compare-and-swap, to a later epoch alone, by
//! the core of the new owner, and only where more than half of those that share the device have
//! sealed that this is the owner: an old verdict that is shown again changes nothing.
//!
//! A sandbox has one bitmap of ports with the device and one without, built at boot. Its own core
//! chooses between them, in the hypervisor, and says in a word of its own whether it has the one
//! with the device. So no two have it at once: who takes it changes the owner's word and then looks at
//! these words of all others; who looks whether it is still the owner has said before that it has
//! the device. All of that is sequentially consistent: one of two sees what the other did.
//!
//! Who has the device and is not the owner any more is asked to leave it, and its core interrupted.
//! It looks at the owner's word then; who asks looks again by making its call again.
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use tern_abi::hypercall::HypercallError;
use tern_abi::ownership::Ownership;
use tern_abi::seal::Seal;

/// What a sandbox has sealed about the owner: words that other cores change.
#[derive(Clone, Copy, Debug)]
pub struct Verdict {
    /// The seal of its channel.
    pub seal: &'static AtomicU64,
    /// The word in each half of its channel that names the owner.
    pub owner: [&'static AtomicU64; 2],
}

impl Verdict {
    /// Returns what it has sealed as `epoch`, if it is sealed now.
    fn sealed_as(&self, epoch: u64) -> Option<Ownership> {
        let load = || Seal::from_word(self.seal.load(Ordering::Acquire));
        let before = load();
        let word = self.owner[before.sealed_half()].load(Ordering::Acquire);
        (before.number() == Some(epoch) && load() == before).then_some(Ownership::from_word(word))
    }
}

/// One of the sandboxes that share a device.
#[derive(Debug)]
struct Member {
    /// The APIC id of its core.
    apic_id: u32,
    /// `None` if its channel is not sealed: it names nobody.
    verdict: Option<Verdict>,
    /// [`AWAY`], [`HAS`], [`ASKED`] or [`ENDED`]. Others change it from `HAS` to `ASKED` alone.
    hold: AtomicU8,
}

/// The guest cannot reach the device.
const AWAY: u8 = 0;
/// It can.
const HAS: u8 = 1;
/// It can, and its core is asked to look whose the device is: an interrupt is on its way.
const ASKED: u8 = 2;
/// It does not run again, and an interrupt is on its way.
const ENDED: u8 = 3;

impl Member {
    fn is(&self, hold: u8) -> bool {
        self.hold.load(Ordering::SeqCst) == hold
    }

    /// Changes its hold, and returns whether it was as expected.
    fn change(&self, from: u8, to: u8) -> bool {
        let changed = self
            .hold
            .compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst);
        changed.is_ok()
    }

    fn has_device(&self) -> bool {
        self.is(HAS) || self.is(ASKED)
    }
}

/// A device that several sandboxes share.
#[derive(Debug)]
pub struct SharedDevice {
    /// Its index in the description.
    device: u64,
    /// Its first port and how many it has.
    ports: (u16, u16),
    owner: AtomicU64,
    members: Vec<Member>,
}

impl SharedDevice {
    /// The device of index `device` with these ports, which nobody has yet. Those that share it
    /// have these cores and say whose it is here, in the order of their places.
    #[must_use]
    pub fn new(
        device: u64,
        ports: (u16, u16),
        members: impl Iterator<Item = (u32, Option<Verdict>)>,
    ) -> Self {
        let members = members.map(|(apic_id, verdict)| Member {
            apic_id,
            verdict,
            hold: AtomicU8::new(AWAY),
        });
        Self {
            device,
            ports,
            owner: AtomicU64::new(Ownership::NONE.to_word()),
            members: members.collect(),
        }
    }

    /// Returns its index in the description.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.device
    }

    /// Returns what those that share it say about the owner.
    pub fn verdicts(&self) -> impl Iterator<Item = &Verdict> {
        self.members.iter().filter_map(|it| it.verdict.as_ref())
    }

    fn owner(&self) -> Ownership {
        Ownership::from_word(self.owner.load(Ordering::SeqCst))
    }

    /// Returns whether more than half of all have sealed, as its epoch, that this is the owner.
    fn is_decided(&self, owner: Ownership, epoch: u64) -> bool {
        let verdicts = self.verdicts();
        let agreed = verdicts.filter(|it| it.sealed_as(epoch) == Some(owner));
        agreed.count() * 2 > self.members.len()
    }
}

/// A sandbox's part in a device that it shares.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    device: &'static SharedDevice,
    place: usize,
}

impl Share {
    /// The part of who is at `place`, if somebody is.
    #[must_use]
    pub fn new(device: &'static SharedDevice, place: usize) -> Option<Self> {
        device.members.get(place).map(|_| Self { device, place })
    }

    /// Returns the device.
    #[must_use]
    pub const fn device(&self) -> &'static SharedDevice {
        self.device
    }

    fn own(&self) -> &'static Member {
        &self.device.members[self.place]
    }

    /// Takes device `device` as its owner from `epoch` on. Calls `interrupt` with the APIC id of a
    /// core that has it and does not know yet that it has to look.
    ///
    /// # Errors
    /// [`HypercallError::NotPermitted`] if it is not this one or no majority has decided so,
    /// [`HypercallError::BadArgument`] if it has an owner from as late an epoch on,
    /// [`HypercallError::NotYet`] if another's guest may still reach it.
    pub fn take(
        &self,
        device: u64,
        epoch: u64,
        mut interrupt: impl FnMut(u32),
    ) -> Result<(), HypercallError> {
        let shared = self.device;
        let wanted = Ownership::new(epoch, self.place).ok_or(HypercallError::BadArgument)?;
        if device != shared.device || !shared.is_decided(wanted, epoch) {
            return Err(HypercallError::NotPermitted);
        }

        let later = |word| {
            let is_later = wanted.is_later_than(Ownership::from_word(word));
            is_later.then_some(wanted.to_word())
        };
        // Tried again only where another core has raised it meanwhile, by a verdict of its own.
        let raised = shared
            .owner
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, later);
        if raised.is_err_and(|found| found != wanted.to_word()) {
            return Err(HypercallError::BadArgument);
        }

        let others = shared.members.iter().enumerate();
        let others = others.filter(|(place, _)| *place != self.place);
        let mut is_free = true;
        for (_, other) in others.filter(|(_, other)| other.has_device()) {
            is_free = false;
            if other.change(HAS, ASKED) {
                interrupt(other.apic_id);
            }
        }
        if !is_free {
            return Err(HypercallError::NotYet);
        }

        let own = self.own();
        own.change(AWAY, HAS);
        if shared.owner() != wanted {
            // Who took it has asked already, or has not looked yet.
            own.change(HAS, AWAY);
            return Err(HypercallError::BadArgument);
        }
        Ok(())
    }

    /// Returns whether its guest may reach the device.
    #[must_use]
    pub fn has_device(&self) -> bool {
        self.own().has_device()
    }

    /// Returns whether an interrupt is on its way to its core that asks whose the device is.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.own().is(ASKED) || self.own().is(ENDED)
    }

    /// Looks whose the device is if its core has been asked to, and gives it up if it is another's.
    /// Returns whether it was asked. Its guest does not run meanwhile, and must not reach the device
    /// when it runs again unless [`Share::has_device`].
    pub fn attend(&self) -> bool {
        let is_owner = self.device.owner().place() == Some(self.place);
        self.own().change(ASKED, if is_owner { HAS } else { AWAY })
    }

    /// Gives the device up, as its guest does not run again.
    pub fn leave(&self) {
        let own = self.own();
        if !own.change(HAS, AWAY) {
            own.change(ASKED, ENDED);
        }
    }

    /// Returns whether an access of so many bytes from `port` on is to the device alone.
    #[must_use]
    pub fn covers(&self, port: u16, bytes: u8) -> bool {
        let (first, count) = self.device.ports;
        let end = u32::from(first) + u32::from(count);
        port >= first && u32::from(port) + u32::from(bytes) <= end
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::boxed::Box;
    use std::vec;

    const DEVICE: u64 = 4;
    const NOT_PERMITTED: Result<(), HypercallError> = Err(HypercallError::NotPermitted);
    const OLD: Result<(), HypercallError> = Err(HypercallError::BadArgument);
    const NOT_YET: Result<(), HypercallError> = Err(HypercallError::NotYet);

    fn word() -> &'static AtomicU64 {
        Box::leak(Box::new(AtomicU64::new(0)))
    }

    /// Those that share a device of eight ports, on cores 10, 11 and so on.
    struct Bench(Vec<Share>);

    impl Bench {
        fn new(members: usize) -> Self {
            let verdict = || {
                let owner = [word(), word()];
                Some(Verdict {
                    seal: word(),
                    owner,
                })
            };
            let members = (0..members).map(|place| (10 + place as u32, verdict()));
            let device = SharedDevice::new(DEVICE, (0x2f8, 8), members);
            let device: &'static SharedDevice = Box::leak(Box::new(device));
            let places = 0..device.members.len();
            Self(
                places
                    .filter_map(|place| Share::new(device, place))
                    .collect(),
            )
        }

        /// Seals what the sandbox at `place` says of `epoch`.
        fn seal(&self, place: usize, epoch: u64, owner: Option<Ownership>) {
            let verdict = self.0[place].own().verdict.unwrap();
            let Verdict { seal, owner: words } = verdict;
            let before = Seal::from_word(seal.load(Ordering::Relaxed));
            let word = owner.unwrap_or(Ownership::NONE).to_word();
            words[before.open_half()].store(word, Ordering::Relaxed);
            seal.store(before.next(epoch).unwrap().to_word(), Ordering::Relaxed);
        }

        /// All seal that `owner` is the owner from `epoch` on.
        fn agree(&self, epoch: u64, owner: usize) {
            for place in 0..self.0.len() {
                self.seal(place, epoch, Ownership::new(epoch, owner));
            }
        }

        /// What the call gives, and which cores it interrupts.
        fn take(&self, place: usize, epoch: u64) -> (Result<(), HypercallError>, Vec<u32>) {
            let mut interrupted = vec![];
            let taken = self.0[place].take(DEVICE, epoch, |core| interrupted.push(core));
            let have = self.0.iter().filter(|it| it.has_device()).count();
            assert!(have <= 1, "one has it at a time");
            (taken, interrupted)
        }
    }

    #[test]
    fn it_is_taken_once_whoever_had_it_has_left_it() {
        let bench = Bench::new(3);
        bench.agree(1, 0);
        assert_eq!(bench.take(0, 1), (Ok(()), vec![]), "nobody had it");
        bench.agree(2, 2);
        assert_eq!(bench.take(2, 2), (NOT_YET, vec![10]));
        assert_eq!(bench.take(2, 2), (NOT_YET, vec![]), "it is asked already");
        assert!(bench.0[0].has_device() && bench.0[0].is_asked());

        assert!(bench.0[0].attend());
        assert!(!bench.0[0].has_device() && !bench.0[0].is_asked());
        assert!(!bench.0[0].attend(), "it was asked once");
        assert_eq!(bench.take(2, 2), (Ok(()), vec![]));
        assert_eq!(bench.take(2, 2), (Ok(()), vec![]), "and has it");
        // Who stays the owner has nobody to wait for.
        bench.agree(3, 2);
        assert_eq!(bench.take(2, 3), (Ok(()), vec![]));
        assert!(bench.0[2].has_device());
    }

    #[test]
    fn nobody_takes_it_whom_no_majority_of_all_names() {
        let bench = Bench::new(3);
        let names = |owner| Ownership::new(5, owner);
        bench.seal(0, 5, names(0));
        assert_eq!(
            bench.take(0, 5).0,
            NOT_PERMITTED,
            "one of three, and of one"
        );
        bench.seal(1, 5, names(1));
        bench.seal(2, 5, None);
        for place in 0..3 {
            assert_eq!(bench.take(place, 5).0, NOT_PERMITTED);
        }
        bench.agree(6, 1);
        assert_eq!(bench.take(0, 6).0, NOT_PERMITTED, "it is another's");
        for epoch in [0, 5, 7, u64::MAX >> 8, u64::MAX] {
            assert!(bench.take(1, epoch).0.is_err(), "of another epoch, {epoch}");
        }
        assert_eq!(bench.0[1].take(DEVICE + 1, 6, |_| ()), NOT_PERMITTED);
        assert!(bench.0.iter().all(|it| !it.has_device()));
        assert_eq!(bench.take(1, 6).0, Ok(()));

        // Half of four is no majority.
        let bench = Bench::new(4);
        bench.seal(0, 5, names(0));
        bench.seal(1, 5, names(0));
        assert_eq!(bench.take(0, 5).0, NOT_PERMITTED);
        bench.seal(2, 5, names(0));
        assert_eq!(bench.take(0, 5).0, Ok(()));
    }

    #[test]
    fn a_verdict_counts_as_the_epoch_that_it_is_sealed_as_and_that_it_names() {
        let bench = Bench::new(3);
        for place in 0..3 {
            bench.seal(place, 6, Ownership::new(5, 0));
        }
        assert_eq!(bench.take(0, 5).0, NOT_PERMITTED);
        assert_eq!(bench.take(0, 6).0, NOT_PERMITTED);
    }

    #[test]
    fn it_goes_to_a_later_epoch_alone() {
        let bench = Bench::new(3);
        bench.agree(1, 0);
        // Another has it from a later epoch on, whatever is sealed now.
        let later = Ownership::new(2, 1).unwrap();
        let owner = &bench.0[0].device.owner;
        owner.store(later.to_word(), Ordering::Relaxed);
        assert_eq!(bench.take(0, 1), (OLD, vec![]));
        // As early, and another: two majorities for one epoch, which is none.
        owner.store(Ownership::new(1, 1).unwrap().to_word(), Ordering::Relaxed);
        assert_eq!(bench.take(0, 1), (OLD, vec![]));
        assert!(!bench.0[0].has_device());
    }

    #[test]
    fn who_has_ended_is_waited_for_no_more() {
        let bench = Bench::new(3);
        bench.agree(1, 0);
        assert_eq!(bench.take(0, 1).0, Ok(()));
        bench.0[0].leave();
        assert!(!bench.0[0].is_asked());
        bench.agree(2, 1);
        assert_eq!(bench.take(1, 2), (Ok(()), vec![]));
        // One that ends while it is asked has an interrupt to expect.
        bench.agree(3, 2);
        assert_eq!(bench.take(2, 3), (NOT_YET, vec![11]));
        bench.0[1].leave();
        assert!(bench.0[1].is_asked());
        assert_eq!(bench.take(2, 3), (Ok(()), vec![]));
    }

    #[test]
    fn who_is_asked_and_is_the_owner_keeps_it() {
        let bench = Bench::new(2);
        bench.agree(1, 0);
        assert_eq!(bench.take(0, 1).0, Ok(()));
        bench.agree(2, 1);
        assert_eq!(bench.take(1, 2), (NOT_YET, vec![10]));
        // Before its core has looked, it is the owner again.
        bench.agree(3, 0);
        assert_eq!(bench.take(0, 3), (Ok(()), vec![]));
        assert!(bench.0[0].attend());
        assert!(bench.0[0].has_device());
        assert_eq!(bench.take(1, 2).0, NOT_PERMITTED);
    }

    #[test]
    fn an_access_is_to_the_device_if_all_of_its_bytes_are() {
        let share = Bench::new(1).0[0];
        for (port, bytes, is_covered) in [
            (0x2f8, 1, true),
            (0x2fc, 4, true),
            (0x2ff, 1, true),
            (0x2ff, 2, false),
            (0x2f7, 1, false),
            (0x2f7, 2, false),
            (0x300, 1, false),
            (0xffff, 4, false),
        ] {
            assert_eq!(
                share.covers(port, bytes),
                is_covered,
                "{bytes} at {port:#x}"
            );
        }
    }
}
