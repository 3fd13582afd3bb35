//! Schedulability analysis of the servers in this crate, in integer time.
//!
//! A *server* is given as a [`ServerModel`], the servers of a core as a slice in order
//! of priority, the highest first. Results are durations; `None` means that no bound
//! exists, or none below some 146 years or within a fixed number of steps.
//!
//! | question | function | source |
//! | --- | --- | --- |
//! | when is a server's budget delivered? | [`server_responses`] | Joseph and Pandya 1986; Audsley et al. 1993; Lehoczky 1990 |
//! | may this set be admitted at once? | [`admissible`] | Liu and Layland 1973; Danish, Li, West 2011 |
//! | how much service in t, how long for e? | [`Supply`] | Shin and Lee 2003 |
//! | when does a thread in a server finish? | [`thread_responses`] | Davis and Burns 2005; Shin and Lee 2003; Chen et al. 2019 |
//! | and where every job finds the budget whole? | [`in_step_response`] | Sprunt, Sha, Lehoczky 1989; Danish, Li, West 2011 |
//! | how long does a message take? | [`channel_latency`] | supply bounds, composed |
//! | and across cores, in a circle? | [`fixed_point`] | Tindell and Clark 1994 |
//! | how long does a repair take? | [`repair_bound`] | its proof |
//! | how long does a list of replenishments get? | [`Room`], [`periods_behind`] | its proof |
//! | how often does a server become active? | [`activations`] | its proof |
//! | and while the donor runs on, if it ends? | [`recovery_bound`] | Clark et al. 2005 |
mod absence;
mod across;
mod admission;
mod busy;
mod channel;
mod charge;
mod cost;
mod demand;
mod in_step;
mod level;
mod model;
mod recovery;
mod repair;
mod room;
mod search;
mod servers;
mod supply;
mod threads;
mod within_budget;

pub use across::{Dependency, Threads, fixed_point};
pub use admission::{admissible, liu_layland_bound};
pub use channel::{Endpoint, channel_latency};
pub use cost::CostTable;
pub use demand::is_in_step;
pub use model::{
    Bound, Raised, ServerContext, ServerModel, ServerResponse, ThreadModel, ThreadResponse,
};
pub use recovery::{Copying, RecoveryBound, RecoveryObstacle, recovery_bound};
pub use repair::{
    MOST_REPAIR_PAGES, Repair, RepairBound, RepairObstacle, RepairPlace, repair_bound,
};
pub use room::{Room, Waking, activations, periods_behind};
pub use search::Steps;
pub use servers::{
    ServerResponses, note_raised, server_response, server_response_in, server_responses,
};
pub use supply::Supply;
pub use threads::{thread_response, thread_responses};
