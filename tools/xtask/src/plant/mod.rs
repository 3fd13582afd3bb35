//! The plant: a pendulum on a cart, on the host or in a sandbox of its own, and what it
//! exchanges with the machine's arbitrator.
pub mod exchange;
pub mod link;
pub mod reference;
pub mod secret;
pub mod taker;
pub mod tap;

pub use exchange::{Exchange, Motion};
pub use reference::Reference;
pub use taker::Taker;
pub use tap::Tap;
