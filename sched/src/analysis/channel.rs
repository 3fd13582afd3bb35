//! How long a message takes from one sandbox to another.
use super::supply::Supply;
use tern_units::Duration;

/// One end of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// What the thread there gets of its core.
    pub supply: Supply,
    /// The work it does for a message, that of threads with higher precedence meanwhile
    /// included.
    pub work: Duration,
    /// For a reader that polls: the time from one look to the next.
    pub poll: Option<Duration>,
}

/// The longest time from the instant at which the sender has a message to the instant at
/// which the receiver has handled it: sbf⁻¹(sender's work) + poll period + sbf⁻¹(receiver's
/// work). A sum of supply bounds, since the two cores are not synchronised (the end-to-end
/// argument of Tindell and Clark 1994); saturates.
#[must_use]
pub const fn channel_latency(sender: &Endpoint, receiver: &Endpoint) -> Duration {
    let poll = match receiver.poll {
        Some(period) => period,
        None => Duration::ZERO,
    };
    sender
        .supply
        .time_for(sender.work)
        .saturating_add(poll)
        .saturating_add(receiver.supply.time_for(receiver.work))
}
