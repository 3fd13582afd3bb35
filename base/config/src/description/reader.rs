//! Reading typed keys out of TOML tables, keeping every line number and going on after
//! each problem.
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::nearest::nearest;
use super::problem::{Place, Places, Problem};
use super::quantity::{parse_duration, parse_size};

/// The file being read: its places so far, and what was wrong with it.
#[derive(Debug)]
pub(super) struct Reader {
    /// Where each line begins.
    lines: Vec<usize>,
    pub(super) places: Places,
    pub(super) problems: Vec<Problem>,
}

/// A table whose keys are being taken, one after another.
#[derive(Debug)]
pub(super) struct Keys<'t> {
    pub(super) place: Place,
    entries: Vec<Entry<'t>>,
    asked: Vec<&'static str>,
}

#[derive(Debug)]
struct Entry<'t> {
    key: &'t str,
    line: usize,
    value: &'t DeValue<'t>,
    span: (usize, usize),
}

/// One of several sorts: its word, and the table with its data if it is written as one.
#[derive(Debug)]
pub(super) struct Choice<'t> {
    pub(super) kind: &'t str,
    pub(super) keys: Option<Keys<'t>>,
}

impl<'t> Reader {
    pub(super) fn new(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = core::iter::once(0)
            .chain(ends.map(|(at, _)| at + 1))
            .collect();
        Self {
            lines,
            places: Places::default(),
            problems: Vec::new(),
        }
    }

    /// Line of a byte of the text, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at)
    }

    /// Notes a problem with a key of a table.
    pub(super) fn problem(&mut self, place: &Place, key: &str, reason: impl Into<String>) {
        self.problems
            .push(self.places.problem(place, key, reason.into()));
    }

    /// Whether a key of a table is written.
    pub(super) fn has(&self, place: &Place, key: &str) -> bool {
        self.places.has(place, key)
    }

    /// Whether a key of a table is written, and nothing was wrong with it so far.
    pub(super) fn has_sound(&self, place: &Place, key: &str) -> bool {
        let it = self.places.problem(place, key, String::new());
        let wrong = self
            .problems
            .iter()
            .any(|problem| (problem.line, &problem.key) == (it.line, &it.key));
        self.has(place, key) && !wrong
    }

    /// The keys of a table that begins at byte `at`. It is called `label` in messages
    /// until it turns out to have a name.
    pub(super) fn keys(
        &mut self,
        place: Place,
        at: usize,
        label: String,
        table: &'t DeTable<'t>,
    ) -> Keys<'t> {
        let line = self.line(at);
        self.places.add_table(&place, line, label);
        let mut entries: Vec<Entry<'t>> = table
            .iter()
            .map(|(key, value)| Entry {
                key: key.get_ref().as_ref(),
                line: self.line(key.span().start),
                value: value.get_ref(),
                span: (value.span().start, value.span().end),
            })
            .collect();
        entries.sort_by_key(|entry| entry.span);
        for entry in &entries {
            self.places.add_key(&place, entry.key, entry.line);
        }
        Keys {
            place,
            entries,
            asked: Vec::new(),
        }
    }

    /// Notes every key that nobody asked for.
    pub(super) fn finish(&mut self, keys: Keys<'t>) {
        for entry in &keys.entries {
            if keys.asked.contains(&entry.key) {
                continue;
            }
            let mut known = keys.asked.clone();
            known.sort_unstable();
            let reason = match nearest(entry.key, &known) {
                Some(near) => format!("unknown key, did you mean `{near}`?"),
                None => format!("unknown key, the keys here are {}", known.join(", ")),
            };
            self.problem(&keys.place, entry.key, reason);
        }
    }

    fn missing(&mut self, keys: &Keys<'t>, key: &str, example: &str) {
        self.problem(
            &keys.place,
            key,
            format!("missing: add `{key} = {example}`"),
        );
    }

    fn mistyped(&mut self, keys: &Keys<'t>, key: &str, value: &DeValue<'_>, expected: &str) {
        let found = value.type_str();
        self.problem(
            &keys.place,
            key,
            format!("expected {expected}, found {found}"),
        );
    }

    pub(super) fn string(&mut self, keys: &mut Keys<'t>, key: &'static str) -> Option<&'t str> {
        match keys.take(key)? {
            DeValue::String(text) => Some(text.as_ref()),
            other => {
                self.mistyped(keys, key, other, "a string");
                None
            }
        }
    }

    /// Reads a name: printable, one line, at most 48 bytes, and without the stroke that would
    /// lead out of a folder where a file is called by it.
    pub(super) fn name(&mut self, keys: &mut Keys<'t>, key: &'static str) -> Option<String> {
        let name = self.string(keys, key)?;
        let is_forbidden = |it: char| it.is_control() || it == '/';
        if name.trim().is_empty() || name.len() > 48 || name.chars().any(is_forbidden) {
            let reason =
                "a name has 1 to 48 bytes, not only blanks, no control characters and no /";
            self.problem(&keys.place, key, reason);
        }
        Some(name.to_owned())
    }

    /// The name of a table, which it must have and by which messages then call it.
    pub(super) fn own_name(&mut self, keys: &mut Keys<'t>, parent: &Place, kind: &str) -> String {
        match self.name(keys, "name") {
            Some(name) => {
                let line = self.places.line(&keys.place);
                let parent = self.places.label(parent);
                let dot = if parent.is_empty() { "" } else { "." };
                let label = format!("{parent}{dot}{kind}.{name}");
                self.places.add_table(&keys.place, line, label);
                name
            }
            None => {
                if !keys.has("name") {
                    self.missing(keys, "name", "\"…\"");
                }
                String::new()
            }
        }
    }

    pub(super) fn required_name(&mut self, keys: &mut Keys<'t>, key: &'static str) -> String {
        let name = self.name(keys, key);
        if name.is_none() && !keys.has(key) {
            self.missing(keys, key, "\"…\"");
        }
        name.unwrap_or_default()
    }

    /// A duration in nanoseconds.
    pub(super) fn duration(&mut self, keys: &mut Keys<'t>, key: &'static str) -> Option<u64> {
        let value = keys.take(key)?;
        let DeValue::String(text) = value else {
            self.mistyped(keys, key, value, "a duration such as \"1.5ms\"");
            return None;
        };
        parse_duration(text)
            .map_err(|reason| self.problem(&keys.place, key, reason))
            .ok()
    }

    /// A duration above zero. `None` also when it was wrong, which has been noted.
    pub(super) fn span(&mut self, keys: &mut Keys<'t>, key: &'static str) -> Option<u64> {
        let nanos = self.duration(keys, key)?;
        if nanos == 0 {
            self.problem(&keys.place, key, "must be above zero");
            return None;
        }
        Some(nanos)
    }

    /// A duration above zero that must be there; zero when it was not or was wrong,
    /// which has been noted.
    pub(super) fn required_span(&mut self, keys: &mut Keys<'t>, key: &'static str) -> u64 {
        let span = self.span(keys, key);
        if span.is_none() && !keys.has(key) {
            self.missing(keys, key, "\"…ms\"");
        }
        span.unwrap_or(0)
    }

    /// A duration that must be there, zero included; zero also when it was not or was
    /// wrong, which has been noted.
    pub(super) fn required_duration(&mut self, keys: &mut Keys<'t>, key: &'static str) -> u64 {
        let duration = self.duration(keys, key);
        if duration.is_none() && !keys.has(key) {
            self.missing(keys, key, "\"…us\"");
        }
        duration.unwrap_or(0)
    }

    /// A size in bytes.
    pub(super) fn size(&mut self, keys: &mut Keys<'t>, key: &'static str) -> Option<u64> {
        let value = keys.take(key)?;
        let DeValue::String(text) = value else {
            self.mistyped(keys, key, value, "a size such as \"16MiB\"");
            return None;
        };
        parse_size(text)
            .map_err(|reason| self.problem(&keys.place, key, reason))
            .ok()
    }

    pub(super) fn integer(
        &mut self,
        keys: &mut Keys<'t>,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        let value = keys.take(key)?;
        let DeValue::Integer(integer) = value else {
            self.mistyped(keys, key, value, "an integer");
            return None;
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let (low, high) = (range.start(), range.end());
            self.problem(
                &keys.place,
                key,
                format!("{integer} is not in {low} to {high}"),
            );
        }
        number
    }

    pub(super) fn required_integer(
        &mut self,
        keys: &mut Keys<'t>,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        let number = self.integer(keys, key, range);
        if number.is_none() && !keys.has(key) {
            self.missing(keys, key, "…");
        }
        number
    }

    pub(super) fn boolean(&mut self, keys: &mut Keys<'t>, key: &'static str) -> Option<bool> {
        match keys.take(key)? {
            DeValue::Boolean(value) => Some(*value),
            other => {
                self.mistyped(keys, key, other, "true or false");
                None
            }
        }
    }

    /// One of a few words; the first stands for a key that is not there.
    pub(super) fn choice<T: Copy>(
        &mut self,
        keys: &mut Keys<'t>,
        key: &'static str,
        words: &[(&str, T)],
    ) -> T {
        let Some(text) = self.string(keys, key) else {
            return words[0].1;
        };
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => *value,
            None => {
                let list: Vec<String> = words
                    .iter()
                    .map(|(word, _)| format!("\"{word}\""))
                    .collect();
                let reason = format!("\"{text}\" is unknown, it can be {}", list.join(", "));
                self.problem(&keys.place, key, reason);
                words[0].1
            }
        }
    }

    /// One choice or a list of them, each a word, or a table with its `kind`; `None` for a key
    /// that is not there.
    pub(super) fn choices(
        &mut self,
        keys: &mut Keys<'t>,
        key: &'static str,
    ) -> Option<Vec<Choice<'t>>> {
        let span = keys.span(key);
        let value = keys.take(key)?;
        let mut choices = Vec::new();
        match value {
            DeValue::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let at = item.span().start;
                    let choice = self.choice_in(keys, key, Some(index), item.get_ref(), at);
                    choices.extend(choice);
                }
            }
            other => choices.extend(self.choice_in(keys, key, Some(0), other, span)),
        }
        Some(choices)
    }

    /// One choice: a word, or a table with its `kind`; `None` for a key that is not there.
    pub(super) fn one_choice(
        &mut self,
        keys: &mut Keys<'t>,
        key: &'static str,
    ) -> Option<Choice<'t>> {
        let span = keys.span(key);
        let value = keys.take(key)?;
        self.choice_in(keys, key, None, value, span)
    }

    /// The choice that a key has, or that is an item of its list, at byte `at`.
    fn choice_in(
        &mut self,
        keys: &Keys<'t>,
        key: &'static str,
        item: Option<usize>,
        value: &'t DeValue<'t>,
        at: usize,
    ) -> Option<Choice<'t>> {
        match value {
            DeValue::String(kind) => Some(Choice {
                kind: kind.as_ref(),
                keys: None,
            }),
            DeValue::Table(table) => {
                let parent = self.places.label(&keys.place);
                let (place, label) = match item {
                    Some(index) => (
                        keys.place.item(key, index),
                        format!("{parent}.{key}[{index}]"),
                    ),
                    None => (keys.place.table(key), format!("{parent}.{key}")),
                };
                let mut keys = self.keys(place, at, label, table);
                let kind = self.string(&mut keys, "kind");
                if !keys.has("kind") {
                    self.missing(&keys, "kind", "\"…\"");
                }
                let keys = Some(keys);
                kind.map(|kind| Choice { kind, keys })
            }
            other => {
                self.mistyped(keys, key, other, "a word, or a table with a `kind`");
                None
            }
        }
    }

    /// A list of names.
    pub(super) fn names(&mut self, keys: &mut Keys<'t>, key: &'static str) -> Vec<&'t str> {
        let Some(value) = keys.take(key) else {
            return Vec::new();
        };
        let DeValue::Array(items) = value else {
            self.mistyped(keys, key, value, "a list of names");
            return Vec::new();
        };
        let mut names = Vec::new();
        for item in items.iter() {
            match item.get_ref() {
                DeValue::String(name) => names.push(name.as_ref()),
                other => self.mistyped(keys, key, other, "a list of names"),
            }
        }
        names
    }

    /// The tables of an array of tables, each with its place.
    pub(super) fn tables(&mut self, keys: &mut Keys<'t>, key: &'static str) -> Vec<Keys<'t>> {
        let Some(value) = keys.take(key) else {
            return Vec::new();
        };
        let DeValue::Array(items) = value else {
            let expected = format!("a list of tables: write [[{key}]]");
            self.mistyped(keys, key, value, &expected);
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (index, item) in items.iter().enumerate() {
            if let DeValue::Table(table) = item.get_ref() {
                let place = keys.place.item(key, index);
                let parent = self.places.label(&keys.place);
                let dot = if parent.is_empty() { "" } else { "." };
                let label = format!("{parent}{dot}{key}[{index}]");
                tables.push(self.keys(place, item.span().start, label, table));
            } else {
                self.mistyped(keys, key, item.get_ref(), "a table");
            }
        }
        tables
    }

    /// A table.
    pub(super) fn table(&mut self, keys: &mut Keys<'t>, key: &'static str) -> Option<Keys<'t>> {
        let at = keys.span(key);
        let value = keys.take(key)?;
        let DeValue::Table(table) = value else {
            self.mistyped(keys, key, value, &format!("a table: write [{key}]"));
            return None;
        };
        Some(self.keys(keys.place.table(key), at, key.to_string(), table))
    }
}

impl<'t> Keys<'t> {
    fn take(&mut self, key: &'static str) -> Option<&'t DeValue<'t>> {
        self.asked.push(key);
        self.entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| entry.value)
    }

    /// The byte at which the key's value begins; the file's first for one that is not written.
    fn span(&self, key: &str) -> usize {
        let mut entries = self.entries.iter();
        let entry = entries.find(|entry| entry.key == key);
        entry.map_or(0, |entry| entry.span.0)
    }

    /// Whether the key is written, rightly or wrongly.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }
}

/// The keys of a whole document.
pub(super) fn root<'t>(reader: &mut Reader, document: &'t Spanned<DeTable<'t>>) -> Keys<'t> {
    reader.keys(Place::root(), 0, String::new(), document.get_ref())
}
