//! A vote without a fault, instruction by instruction: its registers, its stack, and which words
//! of memory each instruction reads and writes.
use iced_x86::{Decoder, DecoderOptions, InstructionInfoFactory, OpAccess, Register};
use tern_vote::{Code, Released};

use super::image::KernelImage;
use super::tracee::{Registers, STACK, STACK_BYTES, Tracee};

/// Where the digests that were cast lie: above the vote's own frame, as where it is called.
const CAST: u64 = STACK + 0x1400;
const CAST_BYTES: u64 = 16 * 8;
/// Where the vote lets its digest out, behind them.
const OUTLET: u64 = CAST + CAST_BYTES;
const OUTLET_BYTES: usize = 28;

/// What is voted on, and who is to be the majority.
#[derive(Clone, Debug)]
pub struct Question {
    /// How digests are cast, which is also the function that votes.
    pub code: Code,
    /// The digest of each replica.
    pub digests: Vec<u64>,
    /// The replica whose digest is to go out.
    pub leader: u32,
    /// Those that are to have cast the same, a bit each.
    pub followers: u32,
    /// The majority's digest.
    pub right: u64,
}

impl Question {
    fn function(&self) -> &'static str {
        match self.code {
            Code::Arithmetic => "coded_vote",
            Code::Plain => "plain_vote",
        }
    }
}

/// A word of 64 bits that an instruction touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Its address, a multiple of eight.
    pub word: u64,
    /// Whether all of it is written and nothing of it read.
    pub replaces: bool,
}

/// The vote before an instruction.
pub struct Step {
    pub registers: Registers,
    pub stack: Box<[u8; STACK_BYTES]>,
    /// What the instruction touches.
    pub accesses: Vec<Access>,
}

/// All of a vote.
pub struct Golden {
    pub question: Question,
    pub steps: Vec<Step>,
    /// The stack at its end.
    pub stack: Box<[u8; STACK_BYTES]>,
}

impl Golden {
    pub fn record(image: &KernelImage, tracee: &mut Tracee, question: &Question) -> Self {
        let function = image.function(question.function());
        let mut registers = tracee.registers();
        for register in general(&mut registers) {
            *register = 0;
        }
        registers.rip = function.start;
        registers.rdi = CAST;
        registers.rsi = u64::from(question.leader);
        registers.rdx = u64::from(question.followers);
        registers.rcx = OUTLET;
        registers.rsp = CAST - 8;
        registers.eflags = 0x202;
        registers.orig_rax = u64::MAX;
        let return_address = tracee.return_address;
        let stack = tracee.stack();
        stack.fill(0);
        put(stack, CAST - 8, &return_address.to_le_bytes());
        for (place, digest) in question.digests.iter().enumerate() {
            let words = question.code.encode(*digest, place);
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            put(stack, CAST + 16 * place as u64, &bytes);
        }

        tracee.prepare(&registers);
        let mut steps = Vec::new();
        let mut factory = InstructionInfoFactory::new();
        loop {
            let registers = tracee.registers();
            if registers.rip == return_address {
                break;
            }
            assert!(
                function.contains(&registers.rip),
                "left at {:#x}",
                registers.rip
            );
            let accesses = accesses(&mut factory, image, &registers);
            let stack = Box::new(*tracee.stack());
            steps.push(Step {
                registers,
                stack,
                accesses,
            });
            assert!(tracee.step(), "step {} does not end", steps.len());
        }
        Self {
            question: question.clone(),
            steps,
            stack: Box::new(*tracee.stack()),
        }
    }

    /// What the end of a vote lets out, from its stack.
    pub fn released(stack: &[u8; STACK_BYTES]) -> Released {
        let at = (OUTLET - STACK) as usize;
        let mut words = stack[at..at + OUTLET_BYTES].chunks(4).map(|bytes| {
            bytes
                .iter()
                .rev()
                .fold(0, |word, byte| word << 8 | u32::from(*byte))
        });
        let mut next = || words.next().unwrap_or_default();
        Released {
            words: [next(), next(), next(), next()],
            signature: next(),
            leader: next(),
            followers: next(),
        }
    }

    /// The words of memory that the vote is given, has, or touches.
    pub fn words(&self) -> Vec<u64> {
        let given = (CAST - 8..OUTLET + OUTLET_BYTES as u64).step_by(8);
        let touched = self.steps.iter().flat_map(|step| &step.accesses);
        let mut words: Vec<u64> = given.chain(touched.map(|access| access.word)).collect();
        words.sort_unstable();
        words.dedup();
        words
    }
}

/// The general registers.
pub fn general(registers: &mut Registers) -> [&mut u64; 16] {
    [
        &mut registers.rax,
        &mut registers.rbx,
        &mut registers.rcx,
        &mut registers.rdx,
        &mut registers.rsi,
        &mut registers.rdi,
        &mut registers.rbp,
        &mut registers.rsp,
        &mut registers.r8,
        &mut registers.r9,
        &mut registers.r10,
        &mut registers.r11,
        &mut registers.r12,
        &mut registers.r13,
        &mut registers.r14,
        &mut registers.r15,
    ]
}

fn value(registers: &Registers, register: Register) -> u64 {
    let mut copy = *registers;
    let names = [
        Register::RAX,
        Register::RBX,
        Register::RCX,
        Register::RDX,
        Register::RSI,
        Register::RDI,
        Register::RBP,
        Register::RSP,
        Register::R8,
        Register::R9,
        Register::R10,
        Register::R11,
        Register::R12,
        Register::R13,
        Register::R14,
        Register::R15,
    ];
    let whole = register.full_register();
    let index = names.iter().position(|name| *name == whole);
    match index {
        Some(index) => *general(&mut copy)[index],
        None => 0, // a segment's base
    }
}

fn accesses(
    factory: &mut InstructionInfoFactory,
    image: &KernelImage,
    registers: &Registers,
) -> Vec<Access> {
    let code = image.at(registers.rip, 16);
    let instruction = Decoder::with_ip(64, code, registers.rip, DecoderOptions::NONE).decode();
    let info = factory.info(&instruction);
    let vector = info
        .used_registers()
        .iter()
        .any(|used| used.register().is_vector_register());
    assert!(
        !vector,
        "vector registers, which no fault is tried in: {instruction:?}"
    );
    let mut accesses = Vec::new();
    for memory in info.used_memory() {
        let address = memory.virtual_address(0, |register, _, _| Some(value(registers, register)));
        let address = address.expect("an address");
        let (end, replaces) = (
            address + memory.memory_size().size() as u64,
            matches!(memory.access(), OpAccess::Write),
        );
        if let OpAccess::NoMemAccess = memory.access() {
            continue;
        }
        for word in (address & !7..end).step_by(8) {
            let whole = address <= word && word + 8 <= end;
            accesses.push(Access {
                word,
                replaces: replaces && whole,
            });
        }
    }
    accesses
}

fn put(stack: &mut [u8; STACK_BYTES], address: u64, bytes: &[u8]) {
    let at = (address - STACK) as usize;
    stack[at..at + bytes.len()].copy_from_slice(bytes);
}
