//! The plant: a pendulum on a cart, outside the machine.
pub mod link;
pub mod physics;
pub mod reference;

pub use link::Exchange;
pub use physics::Pendulum;
pub use reference::Reference;
