//! What somebody does who has the line to the device, or the voter's sandbox: every frame in
//! either direction, and the frozen input, are in their hands.
use std::rc::Rc;

use tern_plant::frames::{Command, Sample};
use tern_plant::tag::Key;
use tern_units::Instant;
use tern_vote::{Reader, Release, ReplicaLayout, Set, Tagged, VoterLayout, Writer};

use super::World;
use crate::sets::voter_channel::Liar;

impl World {
    /// From now on what the voter sends does not reach the device, and waits to be taken by
    /// [`World::take_commands`].
    pub fn intercept(&mut self) {
        self.plant.intercepted.get_or_insert_default();
    }

    /// Takes the commands that the voter has sent.
    pub fn take_commands(&mut self) -> Vec<Command> {
        let intercepted = self.plant.intercepted.as_mut();
        intercepted.map(std::mem::take).unwrap_or_default()
    }

    /// Hands the device a command, whoever has made it.
    pub fn send_command(&mut self, command: &Command) {
        let now = Instant::from_nanos(self.now);
        self.plant.command(command, now);
    }

    /// Takes the samples that are on their way to the voter.
    pub fn take_samples(&mut self) -> Vec<Sample> {
        self.plant.samples()
    }

    /// Puts a sample on its way to the voter, whoever has made it.
    pub fn send_sample(&mut self, sample: Sample) {
        self.plant.answer(sample);
    }

    /// Lets the voter's sandbox replace by `lie` every input that it freezes, before any replica
    /// can read it.
    pub fn lie(&mut self, lie: impl Fn(&Release) -> Release + 'static) {
        self.liar = Some(Liar(Rc::new(lie)));
    }

    /// Puts an input where the voter's sandbox can write, as a faulty voter may at any time.
    ///
    /// # Panics
    /// If the channel has no room for one, which it was made with.
    pub fn freeze(&self, input: &Release) {
        let own = self.voter_channel.writer();
        let layout = VoterLayout::new(own.len()).expect("it has room");
        input.publish(&self.set, &layout, own.open());
    }

    /// Lets the voter's sandbox seal its channel now, as `number`, if the hypervisor does.
    pub fn seal(&self, number: u64) {
        self.voter_channel.seal(number, self.now);
    }

    /// Returns the inputs that replicas have run with, each once.
    #[must_use]
    pub fn inputs(&self) -> &[Release] {
        &self.inputs
    }

    /// Returns the input that replicas can read, if there is one.
    #[must_use]
    pub fn input(&self) -> Option<Release> {
        let newest = self.voter_channel.reader().newest();
        let layout = VoterLayout::new(newest.len())?;
        Release::read(&self.set, &layout, newest).ok()
    }

    /// Returns the tag in a replica's channel, if there is one of this epoch.
    #[must_use]
    pub fn tagged(&self, replica: u8) -> Option<Tagged> {
        let channel = Reader::new(&self.channels[usize::from(replica)]);
        Tagged::read(&self.set, replica, self.epoch(), channel)
    }

    /// Puts a tag into a replica's channel, as a faulty replica may.
    ///
    /// # Panics
    /// If the channel has no room for one, which it was made with.
    pub fn say(&self, replica: usize, tagged: &Tagged) {
        let channel = &self.channels[replica];
        let layout = ReplicaLayout::new(channel.len()).expect("it has room");
        tagged.cast(&self.set, &layout, Writer::new(channel));
    }

    /// Gives a replica's sandbox another key than the actuator knows.
    pub fn lose_key(&mut self, replica: usize) {
        if let Some(keys) = &mut self.nodes[replica].keys {
            keys.own = Key([0; 2]).numbered(0);
        }
    }

    /// Returns what the voter's sandbox knows of the set: its key, too.
    #[must_use]
    pub const fn set(&self) -> &Set {
        &self.set
    }

    /// Whether the device takes its safe action by now, as it has taken no output for long enough.
    pub fn is_safe_action_due(&mut self) -> bool {
        let now = Instant::from_nanos(self.now);
        let actuator = self.plant.actuator.as_mut();
        actuator.is_some_and(|actuator| actuator.due(now).is_some())
    }

    /// Returns the newest command that the device got.
    #[must_use]
    pub const fn last_command(&self) -> &Command {
        &self.plant.last
    }
}
