//! A trace for Perfetto's viewer: its protobuf, written by hand.
//!
//! Messages and field numbers: protos/perfetto/trace/trace_packet.proto and
//! track_event/{track_event,track_descriptor}.proto. Each thread's runs, each thread's
//! jobs and each server's budget have a track of their own: slices on one track must
//! nest, and where jobs of a thread overlap (one is late), the later goes to a second
//! track rather than out of the picture.
use crate::read::SoundTrace;
use crate::summary::Summary;
use crate::tracks::{self, CoreTracks};

/// Fields of `TracePacket`.
mod packet {
    pub(super) const TIMESTAMP: u32 = 8;
    pub(super) const SEQUENCE: u32 = 10;
    pub(super) const TRACK_EVENT: u32 = 11;
    pub(super) const TRACK_DESCRIPTOR: u32 = 60;
}

/// Fields of `TrackEvent`.
mod event {
    pub(super) const TYPE: u32 = 9;
    pub(super) const TRACK: u32 = 11;
    pub(super) const NAME: u32 = 23;
    pub(super) const COUNTER_VALUE: u32 = 30;
}

/// Fields of `TrackDescriptor`.
mod descriptor {
    pub(super) const UUID: u32 = 1;
    pub(super) const NAME: u32 = 2;
    pub(super) const PARENT: u32 = 5;
    pub(super) const COUNTER: u32 = 8;
}

const SLICE_BEGIN: u64 = 1;
const SLICE_END: u64 = 2;
const INSTANT: u64 = 3;
const COUNTER: u64 = 4;

/// The file's bytes. Times count from the trace's first record, since Perfetto's do not
/// go below zero.
#[must_use]
pub fn perfetto(trace: &SoundTrace<'_>) -> Vec<u8> {
    let summary = Summary::from_trace(trace);
    let mut writer = Writer {
        bytes: Vec::new(),
        from: summary.from_ns,
        to: summary.to_ns as f64,
        tracks: 0,
    };
    for core in tracks::cores(trace, summary.to_ns) {
        writer.core(&core);
    }
    writer.bytes
}

struct Writer {
    bytes: Vec<u8>,
    from: i64,
    to: f64,
    tracks: u64,
}

impl Writer {
    fn core(&mut self, core: &CoreTracks) {
        let parent = self.track(&core.name, None, false);
        let marks = self.track("votes and repairs", Some(parent), false);
        for mark in &core.marks {
            self.event(
                mark.at as f64,
                marks,
                INSTANT,
                &format!("{}: {}", mark.kind, mark.text),
            );
        }
        for &at in &core.votes.0 {
            self.event(at, marks, INSTANT, "vote: unanimous");
        }
        for (from, to) in core.lost.iter().map(|&[from, to]| (from as f64, to as f64)) {
            let lost = self.track("lost records", Some(parent), false);
            self.slice(from, to, lost, "lost records");
        }
        for thread in &core.threads {
            let runs = self.track(&format!("{} runs", thread.name), Some(parent), false);
            for run in thread.runs.0.chunks_exact(2) {
                self.slice(run[0], run[1], runs, &thread.name);
            }
            self.jobs(&thread.name, &thread.jobs.0, parent);
        }
        for server in &core.servers {
            let budget = self.track(&format!("budget {}, ns", server.name), Some(parent), true);
            for point in server.level.0.chunks_exact(2) {
                let mut message = Message::default();
                message.varint(event::TYPE, COUNTER);
                message.varint(event::TRACK, budget);
                message.varint(event::COUNTER_VALUE, point[1] as u64);
                self.packet(Some(point[0]), packet::TRACK_EVENT, &message);
            }
        }
    }

    fn jobs(&mut self, thread: &str, jobs: &[f64], parent: u64) {
        // Track and the end of its last slice.
        let mut lanes: Vec<(u64, f64)> = Vec::new();
        for job in jobs.chunks_exact(5) {
            let [number, release, _, complete, missed] = *job else {
                continue;
            };
            let (end, left) = match complete.is_nan() {
                true => (self.to, " not complete"),
                false => (complete, ""),
            };
            if release.is_nan() || end < release {
                continue;
            }
            let free = lanes.iter().position(|&(_, end)| end <= release);
            let lane = free.unwrap_or_else(|| {
                let name = format!("{thread} jobs");
                lanes.push((self.track(&name, Some(parent), false), f64::MIN));
                lanes.len() - 1
            });
            lanes[lane].1 = end;
            let late = if missed == 0.0 { "" } else { " MISSED" };
            let name = format!("{thread} {number}{left}{late}");
            self.slice(release, end, lanes[lane].0, &name);
        }
    }

    fn track(&mut self, name: &str, parent: Option<u64>, counter: bool) -> u64 {
        self.tracks += 1;
        let mut message = Message::default();
        message.varint(descriptor::UUID, self.tracks);
        message.bytes(descriptor::NAME, name.as_bytes());
        if let Some(parent) = parent {
            message.varint(descriptor::PARENT, parent);
        }
        if counter {
            message.bytes(descriptor::COUNTER, &[]);
        }
        self.packet(None, packet::TRACK_DESCRIPTOR, &message);
        self.tracks
    }

    fn slice(&mut self, from: f64, to: f64, track: u64, name: &str) {
        self.event(from, track, SLICE_BEGIN, name);
        self.event(to, track, SLICE_END, "");
    }

    fn event(&mut self, at: f64, track: u64, kind: u64, name: &str) {
        let mut message = Message::default();
        message.varint(event::TYPE, kind);
        message.varint(event::TRACK, track);
        if !name.is_empty() {
            message.bytes(event::NAME, name.as_bytes());
        }
        self.packet(Some(at), packet::TRACK_EVENT, &message);
    }

    fn packet(&mut self, at: Option<f64>, field: u32, content: &Message) {
        let mut message = Message::default();
        if let Some(at) = at {
            let since = (at as i64).saturating_sub(self.from).max(0);
            message.varint(packet::TIMESTAMP, since.cast_unsigned());
        }
        message.varint(packet::SEQUENCE, 1);
        message.bytes(field, &content.0);
        let mut file = Message(core::mem::take(&mut self.bytes));
        file.bytes(1, &message.0);
        self.bytes = file.0;
    }
}

/// A protobuf message being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn raw(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn varint(&mut self, field: u32, value: u64) {
        self.raw(u64::from(field) << 3);
        self.raw(value);
    }

    fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.raw(u64::from(field) << 3 | 2);
        self.raw(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_encoded_as_the_protobuf_documentation_shows() {
        // Encoding, "A Simple Message": field 1 is 150. "Length-Delimited Records": field
        // 2 is "testing".
        let mut message = Message::default();
        message.varint(1, 150);
        assert_eq!(message.0, [0x08, 0x96, 0x01]);
        let mut message = Message::default();
        message.bytes(2, b"testing");
        assert_eq!(
            message.0,
            [0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6E, 0x67]
        );
    }
}
