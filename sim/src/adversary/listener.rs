//! Hears a core's scheduler, for the records and for what its decisions cost.
use tern_config::Sandbox;
use tern_sched::{Observer, Posted, ServerId, ThreadId};
use tern_units::Duration;

use crate::ServerHistory;
use crate::recorder::Recorder;

/// What an adversary has heard of the decisions of a core's scheduler.
pub(super) struct Listener {
    pub(super) recorder: Recorder,
    pub(super) exhausted: u64,
    /// The servers whose budget has returned while they waited for it, in this decision.
    pub(super) returned: Vec<bool>,
}

impl Listener {
    pub(super) fn new(mut recorder: Recorder, sandbox: usize, of: &Sandbox) -> Self {
        let servers = 0..of.servers.len();
        recorder.servers = servers
            .map(|server| ServerHistory {
                sandbox,
                server,
                ..ServerHistory::default()
            })
            .collect();
        Self {
            recorder,
            exhausted: 0,
            returned: vec![false; of.servers.len()],
        }
    }

    pub(super) fn forget(&mut self) {
        self.returned.fill(false);
    }
}

impl Observer for Listener {
    fn switched(&mut self, thread: Option<ThreadId>) {
        self.recorder.switched(thread);
    }

    fn exhausted(&mut self, server: ServerId, posted: Posted) {
        self.exhausted += 1;
        self.recorder.exhausted(server, posted);
    }

    fn replenish_posted(&mut self, server: ServerId, posted: Posted) {
        self.recorder.replenish_posted(server, posted);
    }

    fn replenish_applied(&mut self, server: ServerId, amount: Duration) {
        self.returned[server.index()] = true;
        self.recorder.replenish_applied(server, amount);
    }
}
