//! How each target of a fault is carried out, and which are not yet.
use tern_fault::region::Region;
use tern_fault::target::Target;
use tern_units::Duration;

/// UD2, an invalid instruction: what compilers leave where nothing ever goes on.
const INVALID: [u8; 2] = [0x0f, 0x0b];
/// PAUSE, and a jump back to it: where a program waits for its end.
const ENDLESS: [u8; 4] = [0xf3, 0x90, 0xeb, 0xfc];

/// How a target is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Not at all: nothing is hit.
    Nothing,
    /// A replica is changed.
    Hit(Hit),
    /// A core is held for this long.
    Hold(Duration),
    /// Commands are forged.
    Forge,
}

/// How a replica is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hit {
    /// One bit flips in a page of its program.
    Flip(Pages),
    /// One bit flips in a register while it runs.
    Register,
    /// While it runs, it goes on at this code, which is somewhere in its text.
    Jump {
        /// The code.
        code: &'static [u8],
        /// What that is.
        what: &'static str,
    },
}

/// The pages of a program that a bit may flip in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pages {
    /// Those that the program can write.
    Writable,
    /// Those of one region.
    Of(Region),
    /// The one with this position in the program's page list.
    Number(usize),
}

/// Returns how `target` is carried out; `None` where nothing does that yet.
pub(super) const fn action(target: Target) -> Option<Action> {
    Some(match target {
        Target::None => Action::Nothing,
        Target::Random => flip(Pages::Writable),
        Target::Text => flip(Pages::Of(Region::Text)),
        Target::Data => flip(Pages::Of(Region::Data)),
        Target::Heap => flip(Pages::Of(Region::Heap)),
        Target::Stack => flip(Pages::Of(Region::Stack)),
        Target::Page(number) => flip(Pages::Number(number)),
        Target::Register => Action::Hit(Hit::Register),
        Target::Silent => jump(&INVALID, "an invalid instruction"),
        Target::Endless => jump(&ENDLESS, "an endless loop"),
        Target::Late(time) => Action::Hold(time),
        Target::Forge => Action::Forge,
        Target::KernelText
        | Target::KernelData
        | Target::KernelTable
        | Target::KernelPanic
        | Target::TripleFault
        | Target::MachineCheck
        | Target::Violation
        | Target::Donor
        | Target::Spin
        | Target::ArbitratorPanic
        | Target::Voter
        | Target::LeafTable
        | Target::Channel
        | Target::SealedPage
        | Target::NestedTable
        | Target::Stuck
        | Target::BallotStale
        | Target::BallotTwice
        | Target::BallotMalformed
        | Target::BallotFlood
        | Target::DeviceDrop
        | Target::DeviceRepeat
        | Target::DeviceChange
        | Target::DeviceBabble => return None,
    })
}

/// Returns whether a target is carried out, on any machine.
#[must_use]
pub const fn is_carried_out(target: Target) -> bool {
    action(target).is_some()
}

const fn flip(pages: Pages) -> Action {
    Action::Hit(Hit::Flip(pages))
}

const fn jump(code: &'static [u8], what: &'static str) -> Action {
    Action::Hit(Hit::Jump { code, what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_carried_out_is_what_the_documentation_says() {
        let carried = Target::ALL.into_iter().filter(|it| is_carried_out(*it));
        let names: Vec<_> = carried.map(|it| it.about().shape).collect();
        assert_eq!(
            names.join(", "),
            "random, none, text, data, heap, stack, register, page=N, silent, endless, \
             late=DURATION, forge"
        );
    }
}
