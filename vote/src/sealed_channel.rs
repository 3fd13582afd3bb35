//! A channel whose readers must not be shown different things: one half of it is sealed, and read,
//! while the other is written.
//!
//! Where it is sealed, who reads something under a number reads what everybody reads under that
//! number: the hypervisor seals a half under each number once, and lets nobody write it until the
//! other half is sealed in its place. A reader that is as slow as that finds, after reading, that
//! the seal has changed, and has read nothing ([`ChannelReader::read`]).
use core::sync::atomic::{AtomicU64, Ordering};

use tern_abi::seal::Seal;

use crate::words::{Reader, Writer};

/// A channel as its readers see it.
#[derive(Clone, Copy, Debug)]
pub enum ChannelReader<'a> {
    /// Its writer may change it at any time.
    Plain(Reader<'a>),
    /// Its writer has two halves, of which it may change one.
    Sealed {
        /// Which half is which.
        seal: &'a AtomicU64,
        /// Both, of the same length.
        halves: [Reader<'a>; 2],
    },
}

/// A channel as its writer sees it.
#[derive(Clone, Copy, Debug)]
pub enum ChannelWriter<'a> {
    /// It may change it at any time.
    Plain(Writer<'a>),
    /// It may change one of two halves, until that is sealed.
    Sealed {
        /// Which half is which.
        seal: &'a AtomicU64,
        /// Both, of the same length.
        halves: [Writer<'a>; 2],
    },
}

fn load(seal: &AtomicU64) -> Seal {
    Seal::from_word(seal.load(Ordering::Acquire))
}

impl<'a> ChannelReader<'a> {
    /// Number of words of what is read at a time.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Plain(reader) => reader.len(),
            Self::Sealed { halves, .. } => halves[0].len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is decided what is sealed as `number`, if anything: nothing changes that any more.
    #[must_use]
    pub fn is_decided(&self, number: u64) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Sealed { seal, .. } => load(seal).number().is_some_and(|last| last >= number),
        }
    }

    /// Reads by `read` something that says itself by which number it belongs: `number`. Returns
    /// nothing if it is sealed under another, or if the seal has changed meanwhile.
    pub fn read<T>(
        &self,
        read: impl FnOnce(Reader<'a>) -> Option<T>,
        number: impl FnOnce(&T) -> u64,
    ) -> Option<T> {
        match self {
            Self::Plain(reader) => read(*reader),
            Self::Sealed { seal, halves } => {
                let before = load(seal);
                let sealed_as = before.number()?;
                let what = read(halves[before.sealed_half()])?;
                let is_of_it = number(&what) == sealed_as;
                (is_of_it && load(seal) == before).then_some(what)
            }
        }
    }

    /// Returns what is sealed now, to read what is of use only if it says itself what it is, and
    /// that it is whole.
    #[must_use]
    pub fn newest(&self) -> Reader<'a> {
        match self {
            Self::Plain(reader) => *reader,
            Self::Sealed { seal, halves } => halves[load(seal).sealed_half()],
        }
    }
}

impl<'a> ChannelWriter<'a> {
    /// Number of words of what is written at a time.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Plain(writer) => writer.reader().len(),
            Self::Sealed { halves, .. } => halves[0].reader().len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns what may be written.
    #[must_use]
    pub fn open(&self) -> Writer<'a> {
        match self {
            Self::Plain(writer) => *writer,
            Self::Sealed { seal, halves } => halves[load(seal).open_half()],
        }
    }

    /// The same channel as its readers see it.
    #[must_use]
    pub fn reader(&self) -> ChannelReader<'a> {
        match self {
            Self::Plain(writer) => ChannelReader::Plain(writer.reader()),
            Self::Sealed { seal, halves } => ChannelReader::Sealed {
                seal,
                halves: halves.map(|half| half.reader()),
            },
        }
    }

    /// Returns what its readers see now.
    #[must_use]
    pub fn newest(&self) -> Reader<'a> {
        self.reader().newest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn words() -> Vec<AtomicU64> {
        (0..4).map(|_| AtomicU64::new(0)).collect()
    }

    struct Bench {
        seal: AtomicU64,
        halves: [Vec<AtomicU64>; 2],
    }

    impl Bench {
        fn new() -> Self {
            Self {
                seal: AtomicU64::new(Seal::NONE.to_word()),
                halves: [words(), words()],
            }
        }

        fn writer(&self) -> ChannelWriter<'_> {
            let [first, second] = &self.halves;
            ChannelWriter::Sealed {
                seal: &self.seal,
                halves: [Writer::new(first), Writer::new(second)],
            }
        }

        fn reader(&self) -> ChannelReader<'_> {
            let [first, second] = &self.halves;
            ChannelReader::Sealed {
                seal: &self.seal,
                halves: [Reader::new(first), Reader::new(second)],
            }
        }

        /// What the hypervisor does.
        fn seal(&self, number: u64) {
            let next = load(&self.seal).next(number).unwrap();
            self.seal.store(next.to_word(), Ordering::Release);
        }

        /// The first word, which is also the number that it says it belongs to.
        fn read(&self) -> Option<u64> {
            self.reader().read(|half| Some(half.load(0)), |word| *word)
        }
    }

    #[test]
    fn readers_see_what_was_sealed_last_whatever_is_written_after() {
        let bench = Bench::new();
        assert_eq!(bench.read(), None, "nothing is sealed");
        for number in [3, 4, 9] {
            let before = bench.read();
            bench.writer().open().store(0, number);
            assert_eq!(bench.read(), before, "it is not sealed yet");
            bench.seal(number);
            assert_eq!(bench.read(), Some(number));
            assert_eq!(bench.writer().newest().load(0), number);
            let decided = [number, number + 1].map(|it| bench.reader().is_decided(it));
            assert_eq!(decided, [true, false]);
            bench.writer().open().store(0, 1000);
            assert_eq!(bench.read(), Some(number), "it writes the other half");
        }
    }

    #[test]
    fn what_belongs_to_another_number_than_it_is_sealed_under_is_not_read() {
        let bench = Bench::new();
        bench.writer().open().store(0, 6);
        bench.seal(5);
        assert_eq!(bench.read(), None);
        assert_eq!(bench.reader().newest().load(0), 6);
    }

    #[test]
    fn who_reads_while_the_half_comes_round_again_has_read_nothing() {
        let bench = Bench::new();
        bench.writer().open().store(0, 5);
        bench.seal(5);
        let slow = |until: u64| {
            let read = |half: Reader<'_>| {
                let word = half.load(0);
                (6..=until).for_each(|number| bench.seal(number));
                Some(word)
            };
            bench.reader().read(read, |word| *word)
        };
        assert_eq!(slow(5), Some(5));
        assert_eq!(slow(6), None, "the half is open again");
        bench.writer().open().store(0, 7);
        bench.seal(7);
        assert_eq!(bench.read(), Some(7));
    }

    #[test]
    fn a_plain_channel_shows_what_stands_there() {
        let words = words();
        let (writer, reader) = (
            ChannelWriter::Plain(Writer::new(&words)),
            ChannelReader::Plain(Reader::new(&words)),
        );
        for value in [7, 3] {
            writer.open().store(0, value);
            let read = reader.read(|words| Some(words.load(0)), |_| 0);
            assert_eq!((read, reader.newest().load(0)), (Some(value), value));
            assert_eq!(writer.newest().load(0), value);
        }
        assert_eq!((writer.len(), reader.len()), (4, 4));
    }
}
