//! One command and what it led to.
use tern_pendulum::{Pendulum, command};
use tern_plant::actuator::Output;
use tern_plant::frames::Command;
use tern_plant::tag::{Challenge, Places};

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

impl Exchange {
    /// The first epoch whose output can answer a sample: the command of epoch 0 asks for sample 1,
    /// which is frozen in epoch 1, as the input of epoch 2.
    const FIRST_ANSWER: u64 = 2;

    /// Whether its output was computed before the first sample can have come: tagged, and the
    /// answer to nothing. No actuator takes it.
    #[must_use]
    pub fn answers_nothing(&self) -> bool {
        let Command {
            epoch,
            tags,
            challenge,
            ..
        } = self.command;
        epoch < Self::FIRST_ANSWER
            && tags.places() != Places::NONE
            && challenge == Challenge::default()
    }
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
    /// Hands `pendulum` the output of a command, if it counts.
    pub fn after(pendulum: &mut Pendulum, output: Option<&Output>, command: &Command) -> Self {
        let output = output.filter(|output| output.words().len() > command::FORCE);
        let measured = pendulum.answer(output.map(|_| &command.words));
        Self {
            measured,
            position: pendulum.position(),
            angle: pendulum.angle(),
            fallen: pendulum.fallen(),
        }
    }
}
