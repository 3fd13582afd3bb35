//! The parts of a file, written one after the other.
use std::string::String;
use std::vec::Vec;

use tern_units::Duration;

use super::NONE_SANDBOX;
use crate::Record;
use crate::file::{Core, Note, Trace};
use crate::promises::{Promises, RepairPromise};

/// Bytes under construction.
pub(super) struct Writer(Vec<u8>);

impl Writer {
    /// Nothing yet, with room for the records of `trace`.
    pub(super) fn with_room_for(trace: &Trace) -> Self {
        let records: usize = trace.cores.iter().map(|core| core.records.len()).sum();
        Self(Vec::with_capacity(4096 + records * Record::BYTES))
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    fn u16(&mut self, value: u16) {
        self.0.extend(value.to_le_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.0.extend(value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.0.extend(value.to_le_bytes());
    }

    /// # Panics
    /// For more than 2^32 elements: 64 GiB of records, which no ring holds.
    fn length(&mut self, length: usize) {
        self.u32(u32::try_from(length).expect("fewer than 2^32 elements"));
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.raw(bytes);
    }

    fn list<T>(&mut self, elements: &[T], mut one: impl FnMut(&mut Self, &T)) {
        self.length(elements.len());
        for element in elements {
            one(self, element);
        }
    }

    fn option<T>(&mut self, value: Option<&T>, one: impl FnOnce(&mut Self, &T)) {
        self.u8(value.is_some().into());
        if let Some(value) = value {
            one(self, value);
        }
    }

    fn duration(&mut self, duration: Duration) {
        self.u64(duration.as_nanos());
    }

    fn bound(&mut self, bound: &Option<Duration>) {
        self.option(bound.as_ref(), |out, bound| out.duration(*bound));
    }

    /// The whole content.
    pub(super) fn trace(&mut self, trace: &Trace) {
        self.u8(trace.origin as u8);
        self.u64(trace.tsc.hertz());
        self.u64(trace.epoch_tsc);
        self.text(&trace.build);
        self.bytes(&trace.system);
        self.option(trace.promises.as_ref(), Self::promises);
        self.list(&trace.exit_reasons, |out, name: &String| out.text(name));
        self.list(&trace.notes, Self::note);
        self.list(&trace.cores, Self::core);
    }

    fn promises(&mut self, promises: &Promises) {
        self.option(promises.platform.as_ref(), |out, platform| {
            out.text(&platform.name);
            out.list(&platform.costs, |out, (name, cost)| {
                out.text(name);
                out.duration(*cost);
            });
        });
        self.list(&promises.sandboxes, |out, sandbox| {
            out.list(&sandbox.servers, Self::bound);
            out.list(&sandbox.threads, Self::bound);
        });
        self.list(&promises.repairs, |out, repair| {
            let RepairPromise {
                pages,
                bound,
                bound_for_all,
                epochs_apart,
            } = repair;
            out.u32(*pages);
            out.bound(bound);
            out.bound(bound_for_all);
            out.u32(*epochs_apart);
        });
    }

    fn note(&mut self, note: &Note) {
        self.option(note.tsc.as_ref(), |out, tsc| out.u64(*tsc));
        self.u16(note.sandbox.unwrap_or(NONE_SANDBOX));
        self.text(&note.text);
        self.option(note.fault.as_ref(), |out, fault| {
            out.text(&fault.class);
            out.u16(fault.thread);
            out.u32(fault.epoch);
            out.option(fault.held.as_ref(), |out, (from, until)| {
                out.u64(*from);
                out.u64(*until);
            });
        });
    }

    fn core(&mut self, core: &Core) {
        self.text(&core.sandbox);
        self.u8(core.mode as u8);
        self.u64(core.dropped);
        self.u64(core.overwritten);
        self.list(&core.counters, |out, count| out.u64(*count));
        self.list(&core.exits, |out, count| out.u64(*count));
        self.text(&core.damage);
        self.list(&core.records, |out, record| {
            for word in record.to_words() {
                out.u64(word);
            }
        });
    }
}
