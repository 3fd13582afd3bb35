//! At the limits of the images: a system that its description lets be built boots, in the least
//! memory that it is given out to need, with a heap as large as its threads want.
use tern_tests::{Built, Platform, QEMU, Running, on_each_machine};
use xtask::image;

/// A sandbox with servers of so many threads each, whose jobs are a hundred steps.
#[derive(Clone, Copy, Debug)]
struct Case {
    servers: usize,
    threads: usize,
    heap_pages: u32,
    stack_pages: u32,
    times: Times,
}

/// The budget and the period of each server, and the period of each of its threads.
type Times = (&'static str, &'static str, &'static str);

const USUAL: Times = ("10ms", "2s", "2s");
/// Of jobs at all instants modulo the server's period: 20,000 in one of these.
const MANY_JOBS: Times = ("20s", "40s", "2003us");

impl Case {
    fn describe(&self, memory: &str) -> String {
        let (budget, server, thread) = self.times;
        let threads: String = (0..self.threads)
            .map(|number| {
                format!(
                    "[[sandbox.server.thread]]\nname = \"t{number}\"\nwcet = \"1ms\"\n\
                     period = \"{thread}\"\nprogram = \"steps\"\nargument = 100\n\
                     heap_pages = {}\nstack_pages = {}\n",
                    self.heap_pages, self.stack_pages
                )
            })
            .collect();
        let servers: String = (0..self.servers)
            .map(|number| {
                format!(
                    "[[sandbox.server]]\nname = \"s{number}\"\nbudget = \"{budget}\"\n\
                     period = \"{server}\"\n{threads}"
                )
            })
            .collect();
        format!(
            "[system]\nname = \"limits\"\n[[sandbox]]\nname = \"full\"\ncore = 0\n\
             memory = \"{memory}\"\n{servers}"
        )
    }

    /// The least memory that it is built with, and how many KiB it takes of that.
    fn least_memory(&self) -> (String, u64) {
        // Far too little at first. What is built, with files at hand, may then ask for more than
        // the description alone.
        let mut memory = "4MiB".to_string();
        let mut needed = 0;
        for _ in 0..3 {
            let refusal = match tern_config::Description::parse("test", &self.describe(&memory)) {
                Err(problems) => problems.to_string(),
                Ok(described) => match image::assemble(&described.system) {
                    Err(error) => error.to_string(),
                    Ok(_) => return (memory, needed),
                },
            };
            let words = || refusal.split(['"', ' ', ':', ',', ';']);
            let mut sizes = words().filter(|word| word.ends_with("MiB") && word.len() > 3);
            memory = sizes
                .next_back()
                .unwrap_or_else(|| panic!("{refusal}"))
                .into();
            let takes = words().skip_while(|word| *word != "takes");
            needed = takes
                .filter_map(|word| word.parse().ok())
                .next()
                .unwrap_or(0);
        }
        panic!("{self:?} is not built with {memory}");
    }

    /// Boots it in the least memory, and checks what the kernel says it is left with.
    fn boots(&self, platform: Platform) -> Said {
        // The programs have to be there before it is known how large they are.
        drop(Built::parse(&self.describe("3GiB")));
        let (memory, needed) = self.least_memory();
        let mut machine = Running::start(&Built::parse(&self.describe(&memory)), platform);
        let line = machine.wait_for("heap used");
        let said = Said::of(&line);
        assert!(said.used <= said.heap, "{self:?}: {line}");
        // It was said what it takes, and hardly more than that.
        let mebibytes: u64 = memory.trim_end_matches("MiB").parse().unwrap();
        let left = (mebibytes * 1024).saturating_sub(needed);
        assert!(said.free < 2048, "{self:?} in {memory}: {line}");
        assert!(
            needed == 0 || (left..left + 128).contains(&said.free),
            "{self:?} takes {needed} KiB of {memory}: {line}"
        );
        machine.goes_on(0, 3);
        said
    }
}

/// What a kernel says at the end of its boot, in KiB.
#[derive(Clone, Copy, Debug)]
struct Said {
    free: u64,
    used: u64,
    heap: u64,
}

impl Said {
    fn of(line: &str) -> Self {
        let (_, line) = line.split_once("threads, ").expect("a kernel's line");
        let mut numbers = line.split_whitespace().filter_map(|word| word.parse().ok());
        let mut next = || numbers.next().unwrap_or_else(|| panic!("{line}"));
        Self {
            free: next(),
            used: next(),
            heap: next(),
        }
    }
}

const SMALL: Case = Case {
    servers: 1,
    threads: 1,
    heap_pages: 0,
    stack_pages: 4,
    times: USUAL,
};

/// The list of a program's pages alone takes more than 1 MiB.
fn a_heap_beyond_a_mebibyte(platform: Platform) {
    let said = Case {
        heap_pages: 60_000,
        ..SMALL
    }
    .boots(platform);
    assert!(said.used > 1024, "{said:?}");
}

/// The list of a server's replenishments, too.
fn a_heap_for_the_longest_list(platform: Platform) {
    let said = Case {
        times: MANY_JOBS,
        ..SMALL
    }
    .boots(platform);
    assert!(said.used > 512, "{said:?}");
}

/// Every server and every thread that the kernel schedules.
fn as_many_threads_as_there_may_be(platform: Platform) {
    Case {
        servers: 64,
        threads: 2,
        ..SMALL
    }
    .boots(platform);
}

on_each_machine! {
    a_list_of_replenishments_is_as_long_as_its_description_needs => a_heap_for_the_longest_list;
    the_kernels_heap_is_as_large_as_its_description_needs => a_heap_beyond_a_mebibyte;
    as_many_servers_and_threads_boot_as_may_be_described => as_many_threads_as_there_may_be;
}

/// Descriptions drawn by a seed, up to the limits of each number.
#[test]
fn what_may_be_built_boots_in_the_least_memory_there_is() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut pick = |list: &[u32]| list[random.usize(..list.len())];
    let mut booted = 0;
    while booted < 5 {
        let servers = pick(&[1, 2, 16, 64]) as usize;
        let case = Case {
            servers,
            threads: (128 / servers).min(pick(&[1, 2, 3, 8, 128]) as usize),
            heap_pages: pick(&[0, 1, 511, 512, 513, 2000]),
            stack_pages: pick(&[1, 4, 511, 512, 513]),
            times: [USUAL, MANY_JOBS][pick(&[0, 1]) as usize],
        };
        let pages = case.servers * case.threads * (case.heap_pages + case.stack_pages) as usize;
        if pages > 60_000 || (case.times == MANY_JOBS && case.servers * case.threads > 1) {
            continue;
        }
        println!("{case:?}: {:?}", case.boots(QEMU));
        booted += 1;
    }
}
