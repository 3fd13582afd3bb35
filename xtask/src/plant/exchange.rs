//! One command and what it led to.
use tern_abi::plant::Command;
use tern_pendulum::{Pendulum, command};

/// One command and what it led to.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// What came.
    pub command: Command,
    /// What was measured after it, and sent as sample `command.epoch + 1`.
    pub measured: (f64, f64),
    /// The cart's true position after it, m.
    pub position: f64,
    /// The pendulum's true angle after it, rad.
    pub angle: f64,
    /// Whether the pendulum has fallen.
    pub fallen: bool,
}

impl Exchange {
    /// Hands `pendulum` a command.
    pub fn with(pendulum: &mut Pendulum, command: Command) -> Self {
        let agreed = usize::from(command.count) > command::FORCE;
        let measured = pendulum.answer(agreed.then_some(&command.words));
        Self {
            command,
            measured,
            position: pendulum.position(),
            angle: pendulum.angle(),
            fallen: pendulum.fallen(),
        }
    }
}
