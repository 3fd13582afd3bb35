//! Closing of what others have not sealed in time, so that all who read it see the same.
use crate::hypercall;
use crate::image::description;
use alloc::vec::Vec;
use tern_vote::ChannelReader;

/// Channels of others that this sandbox closes together.
#[derive(Debug)]
pub struct Closing {
    /// Each with its bit in the call that closes it.
    channels: Vec<(u64, ChannelReader<'static>)>,
}

impl Closing {
    /// Those of the channels with these indices, as they are shown here, that this sandbox may
    /// close: its own are others' to close.
    #[must_use]
    pub fn of(indices: &[u32], shown: &[ChannelReader<'static>]) -> Self {
        let sandbox = description::sandbox_number() as usize;
        let closable: Vec<u32> = description::system().closable(sandbox).collect();
        let channels = indices.iter().zip(shown);
        let channels = channels.filter_map(|(index, reader)| {
            let at = closable.iter().position(|it| it == index)?;
            Some((1 << at, *reader))
        });
        Self {
            channels: channels.collect(),
        }
    }

    /// Makes sure that it is decided who has sealed `number`, once its time has come. Where all
    /// have, that takes no call.
    pub fn close(&self, number: u64) -> bool {
        let open = self.channels.iter();
        let open = open.filter(|(_, channel)| !channel.is_decided(number));
        let mask = open.fold(0, |mask, (bit, _)| mask | bit);
        mask == 0 || hypercall::close(mask, number)
    }
}
