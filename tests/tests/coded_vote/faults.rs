//! The faults that a vote may meet, what each comes to, and which of them are one.
use std::collections::BTreeMap;

use super::golden::{Golden, general};
use super::tracee::{Stop, Tracee};

/// The flags that a process can set. The others are the machine's mode (interrupts, port access,
/// virtual 8086), which no instruction of a vote asks for, or are none.
const FLAGS: [u32; 11] = [0, 2, 4, 6, 7, 8, 10, 11, 14, 16, 18];

/// Bits that turn over before an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// One of a general register.
    Register(usize, u32),
    /// One of the flags.
    Flags(u32),
    /// One of the instruction pointer.
    InstructionPointer(u32),
    /// These of a word of memory.
    Word(u64, u64),
}

impl Fault {
    const fn name(self) -> &'static str {
        match self {
            Self::Register(..) => "registers",
            Self::Flags(_) => "flags",
            Self::InstructionPointer(_) => "instruction pointer",
            Self::Word(_, bits) if bits.count_ones() == 1 => "memory",
            Self::Word(..) => "memory, two bits",
        }
    }
}

/// What a fault comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The majority's digest is accepted.
    Right,
    /// Another digest is accepted.
    Wrong,
    /// Nothing is accepted: nothing went out, or it was refused.
    Withheld,
    /// An exception: the kernel would end its sandbox.
    Crash,
    /// It does not end: its sandbox would be late.
    Hang,
}

/// Faults by what is hit and what it came to, and the first wrong ones.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    counts: BTreeMap<(&'static str, Outcome), u64>,
    wrong: Vec<String>,
}

impl Tally {
    fn add(&mut self, step: usize, fault: Fault, outcome: Outcome) {
        *self.counts.entry((fault.name(), outcome)).or_default() += 1;
        if outcome == Outcome::Wrong && self.wrong.len() < 10 {
            self.wrong.push(format!("step {step}, {fault:x?}"));
        }
    }

    pub fn merge(&mut self, other: Self) {
        for (key, count) in other.counts {
            *self.counts.entry(key).or_default() += count;
        }
        self.wrong.extend(other.wrong);
        self.wrong.truncate(10);
    }

    /// Faults that came to `outcome`.
    pub fn of(&self, outcome: Outcome) -> u64 {
        let all = self.counts.iter().filter(|((_, it), _)| *it == outcome);
        all.map(|(_, count)| count).sum()
    }

    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    pub fn wrong(&self) -> &[String] {
        &self.wrong
    }

    pub fn print(&self) {
        let kinds: std::collections::BTreeSet<_> = self.counts.keys().map(|key| key.0).collect();
        for kind in kinds {
            let of = |outcome| self.counts.get(&(kind, outcome)).copied().unwrap_or(0);
            println!(
                "  {kind}: right {}, wrong {}, withheld {}, crash {}, hang {}",
                of(Outcome::Right),
                of(Outcome::Wrong),
                of(Outcome::Withheld),
                of(Outcome::Crash),
                of(Outcome::Hang)
            );
        }
    }
}

/// What becomes of a word of memory from one access to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The instruction of this step reads it: the step decides.
    Read(usize),
    /// It is written over.
    Replaced,
    /// It stands until the end.
    Stands,
}

impl Golden {
    /// What becomes of a word that changes before `step`.
    fn fate(&self, word: u64, step: usize) -> Fate {
        for (number, step) in self.steps.iter().enumerate().skip(step) {
            let mut touching = step.accesses.iter().filter(|access| access.word == word);
            let Some(first) = touching.next() else {
                continue;
            };
            let read = !first.replaces || touching.any(|access| !access.replaces);
            return if read {
                Fate::Read(number)
            } else {
                Fate::Replaced
            };
        }
        Fate::Stands
    }

    /// All faults of one bit in registers: before each instruction, each bit.
    pub fn register_faults(&self) -> Vec<(usize, Fault)> {
        let registers = (0..16).flat_map(|it| (0..64).map(move |bit| Fault::Register(it, bit)));
        let flags = FLAGS.map(Fault::Flags);
        let pointer = (0..64).map(Fault::InstructionPointer);
        let one: Vec<Fault> = registers.chain(flags).chain(pointer).collect();
        let steps = 0..self.steps.len();
        steps
            .flat_map(|step| one.iter().map(move |fault| (step, *fault)))
            .collect()
    }

    /// One fault for each class of those that turn `masks` over in a word of memory: a change
    /// between two accesses is decided by the next.
    pub fn memory_faults(&self, masks: &[u64]) -> Vec<(usize, Fault)> {
        let mut faults = Vec::new();
        for word in self.words() {
            let mut fates: Vec<Fate> = (0..=self.steps.len())
                .map(|step| self.fate(word, step))
                .collect();
            fates.dedup();
            for fate in fates {
                let step = match fate {
                    Fate::Read(step) => step,
                    Fate::Stands => self.steps.len(),
                    Fate::Replaced => continue,
                };
                faults.extend(masks.iter().map(|mask| (step, Fault::Word(word, *mask))));
            }
        }
        faults
    }

    /// All faults of one bit, those in memory each by itself: before each instruction, each bit of
    /// registers and words.
    pub fn points(&self) -> usize {
        let bits = 16 * 64 + FLAGS.len() + 64 + 64 * self.words().len();
        bits * self.steps.len()
    }

    /// The class of a fault in memory, by one fault in it; none if the word is written over.
    pub fn class(&self, step: usize, word: u64) -> Option<usize> {
        match self.fate(word, step) {
            Fate::Read(step) => Some(step),
            Fate::Stands => Some(self.steps.len()),
            Fate::Replaced => None,
        }
    }

    /// What the vote comes to without a fault.
    pub fn outcome(&self) -> Outcome {
        self.judge(&self.stack)
    }

    fn judge(&self, stack: &[u8; super::tracee::STACK_BYTES]) -> Outcome {
        let question = &self.question;
        let replicas = question.digests.len() as u8;
        match question.code.check(&Self::released(stack), replicas) {
            None => Outcome::Withheld,
            Some(digest) if digest == question.right => Outcome::Right,
            Some(_) => Outcome::Wrong,
        }
    }

    /// Lets a vote meet `fault` before `step`, or after its last, and returns what it comes to.
    pub fn meet(&self, tracee: &mut Tracee, step: usize, fault: Fault) -> Outcome {
        let Some(at) = self.steps.get(step) else {
            *tracee.stack() = *self.stack;
            let Fault::Word(word, bits) = fault else {
                unreachable!("no instruction is left: {fault:?}");
            };
            return self.with_flip(tracee, word, bits, |tracee| self.judge(tracee.stack()));
        };
        *tracee.stack() = *at.stack;
        let mut registers = at.registers;
        match fault {
            Fault::Register(register, bit) => *general(&mut registers)[register] ^= 1 << bit,
            Fault::Flags(bit) => registers.eflags ^= 1 << bit,
            Fault::InstructionPointer(bit) => registers.rip ^= 1 << bit,
            Fault::Word(word, bits) => {
                return self.with_flip(tracee, word, bits, |tracee| self.end(tracee, &registers));
            }
        }
        self.end(tracee, &registers)
    }

    /// Flips bits of a word, and flips them back where it is a constant: the stack is set anew
    /// for each run, and constants cannot be written.
    fn with_flip(
        &self,
        tracee: &mut Tracee,
        word: u64,
        bits: u64,
        run: impl FnOnce(&mut Tracee) -> Outcome,
    ) -> Outcome {
        tracee.flip(word, bits);
        let outcome = run(tracee);
        if word < super::tracee::STACK {
            tracee.flip(word, bits);
        }
        outcome
    }

    fn end(&self, tracee: &mut Tracee, registers: &super::tracee::Registers) -> Outcome {
        match tracee.run(registers) {
            Stop::Returned => self.judge(tracee.stack()),
            Stop::Crashed => Outcome::Crash,
            Stop::Hung => Outcome::Hang,
        }
    }

    /// Lets a vote meet each of these faults.
    pub fn meet_all(&self, tracee: &mut Tracee, faults: &[(usize, Fault)]) -> Tally {
        let mut tally = Tally::default();
        for (step, fault) in faults {
            tally.add(*step, *fault, self.meet(tracee, *step, *fault));
        }
        tally
    }
}
