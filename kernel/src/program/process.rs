//! A program in memory: its pages in the order in which replicas are compared, and the
//! running of it until it stops.
use super::file::{LoadError, ProgramFile};
use crate::cpu::context::Context;
use crate::fault::ProgramFault;
use crate::memory::frames::{self, Frame};
use crate::memory::paging::{self, Access, AddressSpace, Entry};
use crate::say;
use alloc::vec;
use alloc::vec::Vec;
use tern_abi::layout::{HEAP_BASE, INPUT_PAGE, OUTPUT_PAGE, STACK_TOP};
use tern_config::heap::PAGE_BYTES;
use tern_units::{GuestPhysical, PAGE_SIZE, PageNumber, UserVirtual};

/// The bytes of a page.
pub type PageBytes = [u8; PAGE_SIZE];
/// A page as words, as programs exchange messages in it.
pub type PageWords = [u64; PAGE_SIZE / 8];

/// What a program is given beside its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Its name in messages.
    pub name: &'static str,
    /// Handed to it in RDI at its start.
    pub argument: u64,
    /// Pages of heap.
    pub heap_pages: u32,
    /// Pages of stack.
    pub stack_pages: u32,
    /// Whether it may write to the console: a replica may not.
    pub may_log: bool,
}

/// Why a program stopped running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its job is done.
    JobDone,
    /// It raised an exception; it must not go on.
    Fault(ProgramFault),
    /// The deadline passed; the job is cancelled where it was.
    DeadlineReached,
    /// It ended itself with this status.
    Exit(u64),
}

#[derive(Debug)]
struct Page {
    frame: Frame,
    /// Where the program has it, and its page-table entry; not for the context page.
    mapped: Option<(UserVirtual, &'static Entry)>,
}

// With the leaf that a replica keeps of each.
const _: () = assert!(size_of::<Page>() + size_of::<u64>() <= PAGE_BYTES as usize);

/// A program, its memory and its saved registers.
///
/// The page list is the same in every replica: page 0 holds the saved registers, then
/// come the file's segments, the heap, the output page and the stack, by address. The
/// input page is not in it.
#[derive(Debug)]
pub struct Process {
    parameters: Parameters,
    file: ProgramFile<'static>,
    space: AddressSpace,
    pages: Vec<Page>,
    /// Copies of all pages, where the program keeps a checkpoint.
    kept: Vec<PageBytes>,
    input: Frame,
    output: PageNumber,
}

/// Page 0: the saved registers.
pub const CONTEXT_PAGE: PageNumber = PageNumber(0);

const _: () = assert!(size_of::<Context>() <= PAGE_SIZE);

impl Process {
    /// Loads a program: allocates all pages that it will ever have.
    ///
    /// # Errors
    /// What is wrong with the file, or which part does not fit its place.
    pub fn load(
        kernel: AddressSpace,
        file: &'static [u8],
        parameters: Parameters,
    ) -> Result<Self, LoadError> {
        let file = ProgramFile::parse(file)?;
        let heap = u64::from(parameters.heap_pages);
        let stack = u64::from(parameters.stack_pages);
        if heap * PAGE_SIZE as u64 > INPUT_PAGE.as_u64() - HEAP_BASE.as_u64() {
            return Err(LoadError::HeapTooLarge);
        }
        let segments: u64 = file.segments().map(|segment| segment.pages).sum();
        // With the saved registers and the output page.
        let count = 2 + segments + heap + stack;
        let space = AddressSpace::with_kernel_of(kernel);
        let mut process = Self {
            parameters,
            file,
            space,
            pages: Vec::with_capacity(count as usize),
            kept: Vec::new(),
            input: frames::allocate(),
            output: PageNumber(0),
        };
        process.pages.push(Page {
            frame: frames::allocate(),
            mapped: None,
        });
        for segment in process.file.segments() {
            process.add_pages(segment.address, segment.pages, segment.access);
        }
        process.add_pages(HEAP_BASE, heap, Access::Write);
        space.map_user_page(INPUT_PAGE.as_u64(), process.input, Access::Read);
        process.output = process.page_count();
        process.add_pages(OUTPUT_PAGE, 1, Access::Write);
        let bottom = STACK_TOP.as_u64().checked_sub(stack * PAGE_SIZE as u64);
        // The page below the stack is its guard: it stays unmapped.
        match bottom {
            Some(bottom) if bottom > OUTPUT_PAGE.as_u64() + 2 * PAGE_SIZE as u64 => {
                process.add_pages(UserVirtual::new(bottom), stack, Access::Write);
            }
            _ => return Err(LoadError::StackTooLarge),
        }
        process.reset();
        Ok(process)
    }

    fn add_pages(&mut self, first: UserVirtual, count: u64, access: Access) {
        for page in 0..count {
            let address = UserVirtual::new(first.as_u64() + page * PAGE_SIZE as u64);
            let frame = frames::allocate();
            let entry = self.space.map_user_page(address.as_u64(), frame, access);
            self.pages.push(Page {
                frame,
                mapped: Some((address, entry)),
            });
        }
    }

    /// Brings the program back to its start: fresh image, zeroed memory, no input.
    pub fn reset(&mut self) {
        for number in self.page_numbers() {
            self.page_mut(number).fill(0);
        }
        self.input_mut().fill(0);
        let mut number = 1;
        for segment in self.file.segments() {
            for page in 0..segment.pages {
                let source = segment.page(page);
                self.page_mut(PageNumber(number))[..source.len()].copy_from_slice(source);
                number += 1;
            }
        }
        let entry = self.file.entry().as_u64();
        *self.context_mut() = Context::user(entry, STACK_TOP.as_u64(), self.parameters.argument);
    }

    /// Its name in messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.parameters.name
    }

    /// Whether it may write to the console.
    #[must_use]
    pub fn may_log(&self) -> bool {
        self.parameters.may_log
    }

    /// Guest-physical address of its page-table root.
    #[must_use]
    pub fn root(&self) -> GuestPhysical {
        self.space.root()
    }

    /// Address just past the stored context, as the system-call entry needs it.
    pub(crate) fn context_end(&self) -> u64 {
        let context: *const Context = self.context();
        context as u64 + size_of::<Context>() as u64
    }

    /// Number of pages in the page list: one more than the last page's number.
    #[must_use]
    pub fn page_count(&self) -> PageNumber {
        PageNumber(self.pages.len() as u32)
    }

    /// All page numbers, from page 0 on.
    pub fn page_numbers(&self) -> impl Iterator<Item = PageNumber> + use<> {
        (0..self.page_count().0).map(PageNumber)
    }

    fn entry(&self, number: PageNumber) -> &Page {
        &self.pages[number.0 as usize]
    }

    /// A page's bytes. The program does not run meanwhile: running it takes `&mut self`.
    ///
    /// # Panics
    /// For a number that is not in the page list; so do the methods below.
    #[must_use]
    pub fn page(&self, number: PageNumber) -> &PageBytes {
        // SAFETY: the frame belongs to this process for good, and the program does not
        // run while `self` is borrowed.
        unsafe { self.entry(number).frame.bytes().as_ref() }
    }

    /// A page's bytes, for repair. Writing them here does not set the dirty bit.
    pub fn page_mut(&mut self, number: PageNumber) -> &mut PageBytes {
        // SAFETY: as for `page`, with `self` borrowed exclusively.
        unsafe { self.entry(number).frame.bytes().as_mut() }
    }

    /// Makes room for a copy of each page.
    pub fn keep_checkpoint(&mut self) {
        self.kept = vec![[0; PAGE_SIZE]; self.pages.len()];
    }

    /// The copy of a page, where there are copies.
    #[must_use]
    pub fn kept(&self, number: PageNumber) -> Option<&PageBytes> {
        self.kept.get(number.0 as usize)
    }

    /// Makes the copy of a page what the page is, where there are copies.
    pub fn keep(&mut self, number: PageNumber) {
        let content = *self.page(number);
        if let Some(kept) = self.kept.get_mut(number.0 as usize) {
            *kept = content;
        }
    }

    /// The page that holds `address`, if the program has one there that is in the list.
    #[must_use]
    pub fn page_at(&self, address: UserVirtual) -> Option<PageNumber> {
        let page = address.page_start();
        let mapped = &self.pages[1..];
        let found = mapped.binary_search_by_key(&Some(page), |it| it.mapped.map(|(at, _)| at));
        found.ok().map(|index| PageNumber(index as u32 + 1))
    }

    /// Whether the program wrote a page since this was last asked. The context page is
    /// written at each job's end, so always.
    ///
    /// The processor may hold a translation that remembers the page as dirty: it is
    /// dropped here, before the program runs again, or the next write would go unseen.
    pub fn take_dirty(&mut self, number: PageNumber) -> bool {
        match self.entry(number).mapped {
            None => true,
            Some((address, entry)) => {
                let dirty = paging::take_dirty(entry);
                if dirty {
                    paging::flush_page(address.as_u64());
                }
                dirty
            }
        }
    }

    /// The page frozen at each release.
    pub fn input_mut(&mut self) -> &mut PageWords {
        // SAFETY: the frame is this process's for good, plain words, aligned; the
        // program does not run while `self` is borrowed.
        unsafe { self.input.bytes().cast().as_mut() }
    }

    /// The page that holds the last job's outputs.
    #[must_use]
    pub fn output(&self) -> &PageWords {
        // SAFETY: as for `input_mut`.
        unsafe { self.entry(self.output).frame.bytes().cast().as_ref() }
    }

    /// The saved registers, in page 0.
    #[must_use]
    pub fn context(&self) -> &Context {
        // SAFETY: page 0 begins with a Context, which any bytes are; `page` on borrows.
        unsafe { self.entry(CONTEXT_PAGE).frame.bytes().cast().as_ref() }
    }

    /// The saved registers, to be changed.
    pub fn context_mut(&mut self) -> &mut Context {
        // SAFETY: as for `context`, with `self` borrowed exclusively.
        unsafe { self.entry(CONTEXT_PAGE).frame.bytes().cast().as_mut() }
    }

    /// Sets what the program's last `JobDone` returns: the epoch.
    pub fn begin_job(&mut self, epoch: u64) {
        self.context_mut().set_result(epoch);
    }

    /// Says on the console why the program does not go on.
    pub fn report(&self, outcome: Outcome) {
        let name = self.name();
        match outcome {
            Outcome::Fault(fault) => say!(
                "{name}: stopped by {} at instruction {:#x}, address {:#x}, error {:#x}",
                fault.name(),
                fault.instruction,
                fault.address,
                fault.error
            ),
            Outcome::Exit(status) => say!("{name}: ended with status {status}"),
            Outcome::DeadlineReached => say!("{name}: job cancelled at its deadline"),
            Outcome::JobDone => {}
        }
    }
}
