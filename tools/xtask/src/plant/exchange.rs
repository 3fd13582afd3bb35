//! One command and what it led to.
use tern_abi::plant::Command;
use tern_pendulum::{Pendulum, command};

/// One command and what it led to.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// What came.
    pub command: Command,
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
    /// Hands `pendulum` a command.
    pub fn after(pendulum: &mut Pendulum, command: &Command) -> Self {
        let agreed = usize::from(command.count) > command::FORCE;
        let measured = pendulum.answer(agreed.then_some(&command.words));
        Self {
            measured,
            position: pendulum.position(),
            angle: pendulum.angle(),
            fallen: pendulum.fallen(),
        }
    }
}
