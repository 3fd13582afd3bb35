//! What each thread of the sandbox runs, from the system description.
use super::job::{Job, Releases};
use super::plant::{self, Plant};
use super::replication::{ReplicaThread, VoterThread};
use crate::drivers::serial;
use crate::image::description;
use crate::memory::paging::{AddressSpace, Stack};
use crate::program::file::Segment;
use crate::program::process::{Outcome, Parameters, Process};
use crate::thread::{self, First, Start, ThreadNumber};
use crate::trace;
use alloc::boxed::Box;
use alloc::vec::Vec;
use tern_abi::system_call::input;
use tern_config::heap::{MOST_SEGMENTS, THREAD_BYTES};
use tern_config::{Runs, ServerKind, ThreadRef};
use tern_sched::ServerParameters;
use tern_trace::Event;
use tern_units::{Duration, Instant, PAGE_SIZE};
use tern_vote::{MAX_REPLICAS, Reader};

/// What a thread's body is given.
#[derive(Debug)]
pub struct Assignment {
    /// The thread.
    pub number: ThreadNumber,
    /// What the system description says of it.
    pub thread: &'static tern_config::Thread,
    /// The program that it runs: a replica or one of its own.
    pub process: Option<Process>,
    /// Its part in a replica set, if it has one.
    pub replication: Option<Replication>,
    /// Whether its jobs are the ones that exit counts are recorded with.
    pub records_exits: bool,
}

/// A thread's part in a replica set.
#[derive(Debug)]
pub enum Replication {
    /// It is a replica.
    Replica(Box<ReplicaThread>),
    /// It is the set's voter.
    Voter(Box<VoterThread>),
}

/// What boot allocates for a thread. Lists that grow by doubling leave what they were: at most
/// four times what they end with.
const OF_THREAD: usize = {
    let lists = 4 * size_of::<Start>() + 4 * size_of::<(ServerParameters, usize)>();
    let segments = MOST_SEGMENTS * size_of::<Segment<'static>>();
    let replica = size_of::<ReplicaThread>() + PAGE_SIZE;
    let part = if replica > size_of::<VoterThread>() {
        replica
    } else {
        size_of::<VoterThread>()
    };
    let readers = 4 * MAX_REPLICAS * size_of::<Reader<'static>>();
    lists + segments + part + readers + thread::CONTROL_BYTES + size_of::<Assignment>()
};
const _: () = assert!(OF_THREAD <= THREAD_BYTES as usize);

/// The servers' parameters with their numbers of threads, in the order of the file.
#[must_use]
pub fn servers() -> Vec<(ServerParameters, usize)> {
    let servers = description::sandbox().servers.iter();
    servers
        .map(|server| {
            let budget = Duration::from_nanos(server.budget);
            let period = Duration::from_nanos(server.period);
            let parameters = match server.kind {
                ServerKind::Sporadic => {
                    let sporadic = ServerParameters::sporadic(budget, period, server.priority);
                    sporadic.with_room(server.room)
                }
                ServerKind::Io => ServerParameters::io(budget, period, server.priority),
            };
            (parameters, server.threads.len())
        })
        .collect()
}

/// Loads the programs and prepares every thread's start. Stacks take the slots from
/// `first_stack` on.
///
/// # Safety
/// Only during boot, once, with interrupts off.
///
/// # Panics
/// If a program cannot be loaded: the message says which and why.
#[must_use]
pub unsafe fn prepare(kernel: AddressSpace, first_stack: u64) -> Vec<Start> {
    let sandbox = description::sandbox();
    // Exits are recorded with the jobs of the slowest periodic thread.
    let periodic = |runs: &Runs| !matches!(runs, Runs::Nothing | Runs::Driver(_));
    let recorder = (0..)
        .zip(sandbox.threads())
        .filter(|(_, (_, _, thread))| periodic(&thread.runs))
        .max_by_key(|(_, (_, _, thread))| thread.period)
        .map(|(index, _)| index);
    let drivers: Vec<_> = (0..)
        .zip(sandbox.threads())
        .filter_map(|(number, (_, _, thread))| match thread.runs {
            Runs::Driver(device) => {
                let description = &description::system().devices[device as usize];
                Some((device, description, ThreadNumber(number)))
            }
            _ => None,
        })
        .collect();
    // SAFETY: the caller vouches that this is boot.
    unsafe { serial::initialize(&drivers) };
    let threads = sandbox.threads().enumerate();
    threads
        .map(|(index, (_, _, thread))| {
            let number = ThreadNumber(index as u16);
            let mut process =
                parameters(thread).map(|(file, parameters)| load(kernel, number, file, parameters));
            let replication = replication(index, thread, process.as_mut());
            let program = process
                .as_ref()
                .map(|process| (process.root().as_u64(), process.context_end()));
            let assignment = Box::new(Assignment {
                number,
                thread,
                process,
                replication,
                records_exits: recorder == Some(index),
            });
            Start {
                name: &thread.name,
                stack: Stack::map(kernel, first_stack + index as u64),
                body: begin,
                argument: Box::into_raw(assignment) as u64,
                program,
                first: match thread.runs {
                    Runs::Nothing => First::Never,
                    Runs::Driver(_) => First::AtEpoch,
                    _ => First::Release(Instant::from_nanos(thread.offset)),
                },
            }
        })
        .collect()
}

/// Prepares a thread's part in a replica set.
fn replication(
    index: usize,
    thread: &'static tern_config::Thread,
    process: Option<&mut Process>,
) -> Option<Replication> {
    let (server, number, _) = description::sandbox().threads().nth(index)?;
    let place = ThreadRef {
        sandbox: description::sandbox_number(),
        server,
        thread: number,
    };
    match (&thread.runs, process) {
        (Runs::Replica(set), Some(process)) => {
            let replica = ReplicaThread::prepare(*set, place, process);
            Some(Replication::Replica(Box::new(replica)))
        }
        (Runs::Voter(set), _) => {
            let voter = VoterThread::prepare(*set, place, thread);
            Some(Replication::Voter(Box::new(voter)))
        }
        _ => None,
    }
}

/// A replica or a voter, for good.
fn replicate(assignment: Assignment) -> ! {
    let Assignment {
        process,
        replication,
        records_exits,
        ..
    } = assignment;
    match (replication, process) {
        (Some(Replication::Replica(replica)), Some(mut process)) => {
            replica.run(&mut process, records_exits)
        }
        (Some(Replication::Voter(voter)), _) => voter.run(records_exits),
        _ => thread::stop(),
    }
}

/// File and parameters of the program that a thread runs, if it runs one.
fn parameters(thread: &'static tern_config::Thread) -> Option<(&'static str, Parameters)> {
    match &thread.runs {
        Runs::Program {
            file,
            argument,
            heap_pages,
            stack_pages,
            simulates: _,
        } => Some((
            file,
            Parameters {
                name: &thread.name,
                argument: *argument,
                heap_pages: *heap_pages,
                stack_pages: *stack_pages,
                may_log: true,
            },
        )),
        Runs::Replica(set) => {
            let set = &description::system().replica_sets[*set as usize];
            Some((
                &set.program,
                Parameters {
                    name: &thread.name,
                    argument: set.argument,
                    heap_pages: set.heap_pages,
                    stack_pages: set.stack_pages,
                    may_log: false,
                },
            ))
        }
        Runs::Nothing | Runs::Voter(_) | Runs::Driver(_) => None,
    }
}

fn load(kernel: AddressSpace, number: ThreadNumber, file: &str, parameters: Parameters) -> Process {
    let Some(contents) = description::file(file) else {
        panic!(
            "the image has no program \"{file}\" for thread \"{}\"",
            parameters.name
        );
    };
    match Process::load(kernel, contents, parameters) {
        Ok(process) => {
            trace::record(Event::Process {
                thread: number.0,
                root_frame: (process.root().as_u64() >> 12) as u32,
            });
            process
        }
        Err(error) => panic!(
            "program \"{file}\" of thread \"{}\": {error}",
            parameters.name
        ),
    }
}

/// Where every thread begins.
extern "C" fn begin(assignment: u64) -> ! {
    // SAFETY: `prepare` leaked the assignment for this thread alone.
    let assignment = unsafe { *Box::from_raw(assignment as *mut Assignment) };
    match assignment.thread.runs {
        Runs::Program {
            simulates: Some(device),
            ..
        } => run_plant(assignment, device),
        Runs::Program { .. } => run_program(assignment),
        Runs::Driver(device) => match serial::serial_port(device) {
            Some(port) => port.drive(Duration::from_nanos(assignment.thread.period)),
            None => thread::stop(),
        },
        Runs::Replica(_) | Runs::Voter(_) => replicate(assignment),
        Runs::Nothing => thread::stop(),
    }
}

/// A program of its own: one job a release, until it ends or faults. Each job is prepared
/// before the thread sleeps, so that its release leads straight to the program.
fn run_program(assignment: Assignment) -> ! {
    let Some(mut process) = assignment.process else {
        thread::stop()
    };
    let mut releases = Releases::of(assignment.thread);
    loop {
        let job = releases.upcoming();
        let page = process.input_mut();
        page[input::EPOCH] = job.number;
        page[input::RELEASE_TIME] = job.release.as_nanos();
        process.begin_job(job.number);
        let outcome = if job.is_first() {
            process.run_until(Instant::NEVER)
        } else {
            process.run_from(job.release, job.number as u32)
        };
        if outcome != Outcome::JobDone {
            end_program(&process, assignment.number, job, outcome);
        }
        job.complete();
        if assignment.records_exits {
            trace::record_exits();
        }
    }
}

/// A plant: at each release one job for each command that has come by then.
fn run_plant(assignment: Assignment, device: u32) -> ! {
    let Some(mut process) = assignment.process else {
        thread::stop()
    };
    let mut plant = Plant::of(device);
    let mut releases = Releases::of(assignment.thread);
    loop {
        let job = releases.next();
        for _ in 0..plant::MOST_COMMANDS {
            let Some(outcome) = plant.answer_next(&mut process, job.release) else {
                break;
            };
            if outcome != Outcome::JobDone {
                end_program(&process, assignment.number, job, outcome);
            }
        }
        job.complete();
        if assignment.records_exits {
            trace::record_exits();
        }
    }
}

/// Records and says why a program does not go on, and ends its thread.
#[cold]
fn end_program(process: &Process, number: ThreadNumber, job: Job, outcome: Outcome) -> ! {
    if let Outcome::Fault(fault) = outcome {
        trace::record(Event::Fault {
            class: fault.vector as u16,
            detail: u32::from(number.0),
            address: fault.address,
        });
        job.missed();
    }
    process.report(outcome);
    thread::stop()
}
