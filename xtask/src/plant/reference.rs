//! What the controller should have computed: the same code, run on the host.
use tern_pendulum::{Controller, Entry, FILTERS, Filter, Input, LOG_ENTRIES, Output, State};

/// A controller on the host with memory of its own.
#[derive(Clone, Debug)]
pub struct Reference {
    state: State,
    bank: Vec<Filter>,
    log: Vec<Entry>,
}

impl Default for Reference {
    fn default() -> Self {
        Self::new()
    }
}

impl Reference {
    /// A controller before its first job.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: State::START,
            bank: vec![Filter::ZERO; FILTERS],
            log: vec![Entry::default(); LOG_ENTRIES],
        }
    }

    /// Does one job.
    pub fn job(&mut self, input: &Input) -> Output {
        let (state, bank, log) = (&mut self.state, &mut self.bank[..], &mut self.log[..]);
        Controller { state, bank, log }.job(input)
    }
}
