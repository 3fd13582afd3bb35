//! One command and what it led to.
use tern_pendulum::{Pendulum, command};
use tern_plant::frames::Command;
use tern_vote::{Set, sound_output};

/// One command and what it led to.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// What came.
    pub command: Command,
    /// Whether the plant took an output from it: one that is what the replicas cast.
    pub accepted: bool,
    /// What the pendulum did then; `None` of another plant, whose state nobody here knows.
    pub motion: Option<Motion>,
}

/// A pendulum a period after a command.
#[derive(Clone, Copy, Debug)]
pub struct Motion {
    /// What was measured, and sent as sample `command.epoch + 1`.
    pub measured: (f64, f64),
    /// The cart's true position, m.
    pub position: f64,
    /// The pendulum's true angle, rad.
    pub angle: f64,
    /// Whether the pendulum has fallen.
    pub fallen: bool,
}

impl Motion {
    /// Hands `pendulum` a command of `set`.
    pub fn after(pendulum: &mut Pendulum, set: &Set, command: &Command) -> Self {
        let output = sound_output(set, command).filter(|words| words.len() > command::FORCE);
        let measured = pendulum.answer(output.map(|_| &command.words));
        Self {
            measured,
            position: pendulum.position(),
            angle: pendulum.angle(),
            fallen: pendulum.fallen(),
        }
    }
}
