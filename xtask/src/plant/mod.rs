//! The plant: a pendulum on a cart, outside the machine.
pub mod physics;
pub mod reference;

pub use physics::Pendulum;
pub use reference::Reference;
