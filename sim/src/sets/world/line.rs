//! What somebody does who has the line to the device, or the voter's sandbox: every frame in
//! either direction, and the frozen input, are in their hands.
use std::rc::Rc;

use tern_plant::frames::{Command, Sample};
use tern_plant::tag::Key;
use tern_units::Instant;
use tern_vote::{ChannelWriter, Reader, Release, Set, Tagged, VoterLayout, Writer};

use super::{Place, World};
use crate::sets::channel::Liar;

impl World {
    /// From now on what the voter sends does not reach the device, and waits to be taken by
    /// [`World::take_commands`].
    pub fn intercept(&mut self) {
        self.device.plant.intercepted.get_or_insert_default();
    }

    /// Takes the commands that the voter has sent.
    pub fn take_commands(&mut self) -> Vec<Command> {
        let intercepted = self.device.plant.intercepted.as_mut();
        intercepted.map(std::mem::take).unwrap_or_default()
    }

    /// Hands the device a command, whoever has made it.
    pub fn send_command(&mut self, command: &Command) {
        let now = Instant::from_nanos(self.now);
        self.device.plant.command(command, now);
    }

    /// Takes the samples that are on their way to the voter.
    pub fn take_samples(&mut self) -> Vec<Sample> {
        self.device.plant.samples()
    }

    /// Puts a sample on its way to the voter, whoever has made it.
    pub fn send_sample(&mut self, sample: Sample) {
        self.device.plant.answer(sample);
    }

    /// Lets the voter's sandbox replace by `lie` every input that it freezes, before any replica
    /// can read it.
    pub fn lie(&mut self, lie: impl Fn(&Release) -> Release + 'static) {
        self.lie_in(Place::Voter(0), move |set, own| {
            let Some(layout) = VoterLayout::new(own.reader().len()) else {
                return;
            };
            if let Ok(truth) = Release::read(set, &layout, own.reader()) {
                lie(&truth).publish(set, &layout, own);
            }
        });
    }

    /// Lets `lie` change what the sandbox of a replica or a voter says in its channel, before
    /// anybody can read it: in each ballot, or beside each verdict.
    pub fn lie_in(&mut self, of: Place, lie: impl Fn(&Set, Writer<'_>) + 'static) {
        let lie = Rc::new(lie);
        self.liar = Some(Liar { of, lie });
    }

    /// Stores a word where the sandbox of `of` can write, as a faulty one may at any time: in a
    /// channel that is sealed, in the half that is open.
    pub fn store(&self, of: Place, word: usize, value: u64) {
        let channel = match of {
            Place::Replica(replica) => ChannelWriter::Plain(Writer::new(&self.channels[replica])),
            Place::Ballot(replica) => self.ballot_channels[replica].writer(),
            Place::Voter(voter) => self.voter_channels[voter].writer(),
        };
        channel.open().store(word % channel.len(), value);
    }

    /// Copies what another's channel shows into the sandbox's own, as far as that is open.
    pub fn copy_open(&self, from: Place, to: Place) {
        let from = match from {
            Place::Replica(replica) => Reader::new(&self.channels[replica]),
            Place::Ballot(replica) => self.ballot_channels[replica].reader().newest(),
            Place::Voter(voter) => self.voter_channels[voter].reader().newest(),
        };
        (0..from.len()).for_each(|word| self.store(to, word, from.load(word)));
    }

    /// Lets a sandbox seal a channel of its own now, as `number`, if the hypervisor does.
    pub fn seal_in(&self, of: Place, number: u64) {
        let channel = match of {
            Place::Replica(_) => return,
            Place::Ballot(replica) => &self.ballot_channels[replica],
            Place::Voter(voter) => &self.voter_channels[voter],
        };
        channel.seal(number, self.now);
    }

    /// Lets the sandbox of a replica, and of the voter beside it, seal nothing of what they write,
    /// from now on; or lets all be sealed again.
    pub const fn withhold_seals(&mut self, of: Option<usize>) {
        self.withholds = of;
    }

    /// Lets a sandbox close `number` in all channels that can be closed, if the hypervisor does.
    pub fn close_all(&self, number: u64) {
        let channels = self.ballot_channels.iter().chain(&self.voter_channels);
        for channel in channels {
            channel.close(number, self.now);
        }
    }

    /// Puts an input where the voter's sandbox can write, as a faulty voter may at any time.
    ///
    /// # Panics
    /// If the channel has no room for one, which it was made with.
    pub fn freeze(&self, input: &Release) {
        let own = self.voter_channels[0].writer();
        let layout = VoterLayout::new(own.len()).expect("it has room");
        input.publish(&self.set, &layout, own.open());
    }

    /// Lets the voter's sandbox seal its channel now, as `number`, if the hypervisor does.
    pub fn seal(&self, number: u64) {
        self.voter_channels[0].seal(number, self.now);
    }

    /// Returns the inputs that replicas have run with, each once.
    #[must_use]
    pub fn inputs(&self) -> &[Release] {
        &self.inputs
    }

    /// Returns the input that replicas can read, if there is one.
    #[must_use]
    pub fn input(&self) -> Option<Release> {
        let newest = self.voter_channels[0].reader().newest();
        let layout = VoterLayout::new(newest.len())?;
        Release::read(&self.set, &layout, newest).ok()
    }

    /// Returns the tag beside a replica's ballot, if there is one of this epoch.
    #[must_use]
    pub fn tagged(&self, replica: u8) -> Option<Tagged> {
        let channel = self.cast_in(usize::from(replica)).open().reader();
        Tagged::read(&self.set, replica, self.epoch(), channel)
    }

    /// Puts a tag beside a replica's ballot, as a faulty replica may.
    pub fn say(&self, replica: usize, tagged: &Tagged) {
        tagged.cast(&self.set, self.cast_in(replica).open());
    }

    /// Gives a replica's sandbox another key than the actuator knows.
    pub fn lose_key(&mut self, replica: usize) {
        if let Some(key) = &mut self.nodes[replica].key {
            *key = Key([0; 2]).numbered(0);
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
        let actuator = self.device.plant.actuator.as_mut();
        actuator.is_some_and(|actuator| actuator.due(now).is_some())
    }

    /// Returns the newest command that the device got.
    #[must_use]
    pub const fn last_command(&self) -> &Command {
        &self.device.plant.last
    }
}
