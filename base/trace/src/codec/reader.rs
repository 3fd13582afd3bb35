//! The parts of a file, read one after the other. Nothing in them is trusted.
use std::string::String;
use std::vec::Vec;

use tern_units::{Duration, TscFrequency};

use super::{FileError, NONE_SANDBOX};
use crate::file::{Core, InjectedFault, Note, Origin, Trace};
use crate::promises::{Platform, Promises, RepairPromise, SandboxPromises};
use crate::{Mode, Record};

type Read<T> = Result<T, FileError>;

/// What is left of a file's content.
pub(super) struct Reader<'a> {
    content: &'a [u8],
    /// Where in the file the content ends.
    end: usize,
}

impl<'a> Reader<'a> {
    /// Content that begins at byte `start` of its file.
    pub(super) const fn new(content: &'a [u8], start: usize) -> Self {
        Self {
            content,
            end: start + content.len(),
        }
    }

    fn bad(&self, part: &'static str) -> FileError {
        FileError::Content {
            part,
            offset: self.end - self.content.len(),
        }
    }

    fn array<const N: usize>(&mut self, part: &'static str) -> Read<[u8; N]> {
        let first = self.content.split_first_chunk();
        let (first, rest) = first.ok_or_else(|| self.bad(part))?;
        self.content = rest;
        Ok(*first)
    }

    fn u8(&mut self, part: &'static str) -> Read<u8> {
        self.array(part).map(u8::from_le_bytes)
    }

    fn u16(&mut self, part: &'static str) -> Read<u16> {
        self.array(part).map(u16::from_le_bytes)
    }

    fn u32(&mut self, part: &'static str) -> Read<u32> {
        self.array(part).map(u32::from_le_bytes)
    }

    fn u64(&mut self, part: &'static str) -> Read<u64> {
        self.array(part).map(u64::from_le_bytes)
    }

    /// A list's length; never more than the bytes that are left could hold.
    fn length(&mut self, part: &'static str, least_bytes: usize) -> Read<usize> {
        let length = self.u32(part)? as usize;
        if length > self.content.len() / least_bytes {
            return Err(self.bad(part));
        }
        Ok(length)
    }

    fn bytes(&mut self, part: &'static str) -> Read<&'a [u8]> {
        let length = self.length(part, 1)?;
        let (bytes, rest) = self.content.split_at(length);
        self.content = rest;
        Ok(bytes)
    }

    fn text(&mut self, part: &'static str) -> Read<String> {
        let bytes = self.bytes(part)?.to_vec();
        String::from_utf8(bytes).map_err(|_| self.bad(part))
    }

    /// A list of elements of at least so many bytes each.
    fn list<T>(
        &mut self,
        part: &'static str,
        least_bytes: usize,
        mut one: impl FnMut(&mut Self) -> Read<T>,
    ) -> Read<Vec<T>> {
        let length = self.length(part, least_bytes)?;
        (0..length).map(|_| one(self)).collect()
    }

    fn option<T>(
        &mut self,
        part: &'static str,
        one: impl FnOnce(&mut Self) -> Read<T>,
    ) -> Read<Option<T>> {
        match self.u8(part)? {
            0 => Ok(None),
            1 => one(self).map(Some),
            _ => Err(self.bad(part)),
        }
    }

    fn words(&mut self, part: &'static str) -> Read<Vec<u64>> {
        self.list(part, 8, |input| input.u64(part))
    }

    fn bound(&mut self) -> Read<Option<Duration>> {
        self.option("bound", |input| {
            input.u64("bound").map(Duration::from_nanos)
        })
    }

    /// The whole content, with nothing after it.
    pub(super) fn whole_trace(mut self) -> Read<Trace> {
        let trace = Trace {
            origin: Origin::from_byte(self.u8("origin")?).ok_or_else(|| self.bad("origin"))?,
            tsc: TscFrequency::from_hertz(self.u64("TSC frequency")?)
                .ok_or_else(|| self.bad("TSC frequency"))?,
            epoch_tsc: self.u64("epoch")?,
            build: self.text("build")?,
            system: self.bytes("system description")?.to_vec(),
            promises: self.option("promises", Self::promises)?,
            exit_reasons: self.list("exit reasons", 4, |input| input.text("exit reason"))?,
            notes: self.list("notes", 8, Self::note)?,
            cores: self.list("sandboxes", 37, Self::core)?,
        };
        match self.content.is_empty() {
            true => Ok(trace),
            false => Err(self.bad("end")),
        }
    }

    fn promises(&mut self) -> Read<Promises> {
        Ok(Promises {
            platform: self.option("platform", |input| {
                Ok(Platform {
                    name: input.text("platform")?,
                    costs: input.list("costs", 12, |input| {
                        let name = input.text("cost")?;
                        Ok((name, Duration::from_nanos(input.u64("cost")?)))
                    })?,
                })
            })?,
            sandboxes: self.list("bounds", 8, |input| {
                Ok(SandboxPromises {
                    servers: input.list("bounds", 1, Self::bound)?,
                    threads: input.list("bounds", 1, Self::bound)?,
                })
            })?,
            repairs: self.list("bounds on repairs", 10, |input| {
                Ok(RepairPromise {
                    pages: input.u32("bound on repairs")?,
                    bound: input.bound()?,
                    bound_for_all: input.bound()?,
                    epochs_apart: input.u32("bound on repairs")?,
                })
            })?,
        })
    }

    fn note(&mut self) -> Read<Note> {
        let tsc = self.option("note", |input| input.u64("note"))?;
        let sandbox = self.u16("note")?;
        Ok(Note {
            tsc,
            sandbox: (sandbox != NONE_SANDBOX).then_some(sandbox),
            text: self.text("note")?,
            fault: self.option("injected fault", |input| {
                Ok(InjectedFault {
                    class: input.text("injected fault")?,
                    thread: input.u16("injected fault")?,
                    epoch: input.u32("injected fault")?,
                    held: input.option("injected fault", |input| {
                        Ok((input.u64("injected fault")?, input.u64("injected fault")?))
                    })?,
                })
            })?,
        })
    }

    fn core(&mut self) -> Read<Core> {
        Ok(Core {
            sandbox: self.text("sandbox name")?,
            mode: Mode::from_word(self.u8("ring mode")?.into())
                .ok_or_else(|| self.bad("ring mode"))?,
            dropped: self.u64("loss count")?,
            overwritten: self.u64("loss count")?,
            counters: self.words("counters by kind")?,
            exits: self.words("exit counts")?,
            damage: self.text("damage")?,
            records: self.list("records", Record::BYTES, Self::record)?,
        })
    }

    fn record(&mut self) -> Read<Record> {
        let words = [self.u64("record")?, self.u64("record")?];
        Record::from_words(words).ok_or_else(|| self.bad("record (unknown kind)"))
    }
}
