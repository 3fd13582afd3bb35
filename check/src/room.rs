//! The room for replenishments that each server gets, from what wakes its threads.
use tern_config::{Server, ServerKind, System};
use tern_sched::MOST_ROOM;
use tern_sched::analysis::{CostTable, Room, Steps, Waking};

use crate::core::Core;
use crate::report::Failure;
use crate::wakings::Wakings;

/// Gives each sporadic server of a system that has none yet the room for replenishments that its
/// threads need on a platform with these costs: the number that the image carries, and
/// simulation takes.
pub fn give_room(system: &mut System, costs: &CostTable) {
    for sandbox in 0..system.sandboxes.len() {
        let rooms = {
            let mut analysis = None;
            rooms(
                system,
                &system.sandboxes[sandbox].servers,
                |index, wakings| {
                    let (core, positions) =
                        analysis.get_or_insert_with(|| Core::new(system, sandbox, costs));
                    let position = positions[index];
                    let mut steps = Steps::for_servers(core.servers.len());
                    let response = core.response(position, &mut steps).response;
                    core.periods_behind(position, response, wakings)
                },
            )
        };
        let servers = system.sandboxes[sandbox].servers.iter_mut();
        for (server, room) in servers.zip(rooms) {
            if let (Some(room), 0) = (room, server.room) {
                server.room = room.replenishments;
            }
        }
    }
}

/// The room of each server of a sandbox; `None` for an I/O server, which has one replenishment.
/// `periods` tells for how many periods a server hands on budget at most.
pub(crate) fn rooms(
    system: &System,
    servers: &[Server],
    mut periods: impl FnMut(usize, &[Waking]) -> Option<u64>,
) -> Vec<Option<Room>> {
    let rooms = servers.iter().enumerate().map(|(index, server)| {
        if server.kind == ServerKind::Io {
            return None;
        }
        Some(Wakings::of(system, server).room(|wakings| periods(index, wakings)))
    });
    rooms.collect()
}

/// Why the threads of a server have no bounds, if its room is not enough.
pub(crate) fn failure() -> Failure {
    Failure {
        reason: format!(
            "no bound: its budget may come back in more pieces than the {MOST_ROOM} that its list \
             has room for, as its threads ask for all of it again and again"
        ),
        change: Some("raise its budget above what its threads ask for".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tern_config::{Job, Runs, Sandbox, Thread};

    const MS: u64 = 1_000_000;

    fn thread(wcet: u64, period: u64, runs: Runs) -> Thread {
        Thread {
            wcet,
            period,
            runs,
            ..Thread::default()
        }
    }

    /// A core with these servers: budget, period, threads.
    fn system(servers: Vec<(u64, u64, Vec<Thread>)>) -> System {
        let servers = (0..).zip(servers);
        let servers = servers.map(|(priority, (budget, period, threads))| Server {
            budget,
            period,
            deadline: period,
            priority,
            threads,
            ..Server::default()
        });
        let sandbox = Sandbox {
            servers: servers.collect(),
            ..Sandbox::default()
        };
        System {
            sandboxes: vec![sandbox],
            ..System::default()
        }
    }

    /// The room of a server (20 ms, 40 ms) with these threads.
    fn room_for(threads: Vec<Thread>) -> u32 {
        let mut system = system(vec![(20 * MS, 40 * MS, threads)]);
        give_room(&mut system, &CostTable::NONE);
        system.sandboxes[0].servers[0].room
    }

    #[test]
    fn each_thing_that_a_thread_runs_has_its_wakes() {
        let program = || Runs::Program {
            file: String::new(),
            argument: 0,
            heap_pages: 0,
            stack_pages: 4,
            simulates: None,
        };
        let jobs = |at: &[u64]| Thread {
            jobs: at.iter().map(|at| Job { at: *at, work: MS }).collect(),
            ..thread(MS, 40 * MS, Runs::Nothing)
        };
        for (threads, wakes) in [
            (vec![], 1),
            (vec![thread(20 * MS, 40 * MS, program())], 1),
            (vec![thread(MS, 10 * MS, Runs::Nothing)], 4),
            (vec![thread(MS, 30 * MS, Runs::Nothing)], 4),
            // At 40,000 instants modulo 40 ms, but twice in a period.
            (vec![thread(MS, 30 * MS + 1_000, Runs::Nothing)], 2),
            (vec![thread(MS, 80 * MS, Runs::Voter(0))], 1),
            (vec![jobs(&[0, MS, 40 * MS, 41 * MS, 90 * MS])], 3),
            // Of each kind of looks six in an epoch, and seven in the parts of two.
            (vec![thread(MS, 40 * MS, Runs::Replica(0))], 2 + 2 * 7),
            // Whenever its interrupts come.
            (vec![thread(MS, 9 * MS, Runs::Driver(0))], 5),
            // Two ask for more than there is, but only in a second period.
            (
                vec![
                    thread(12 * MS, 60 * MS, Runs::Driver(0)),
                    thread(11 * MS, 80 * MS, Runs::Driver(0)),
                ],
                2 + 1,
            ),
        ] {
            let (room, count) = (room_for(threads.clone()), threads.len());
            assert_eq!(room, 2 + wakes, "{count} threads, {:?}", threads.first());
        }
    }

    /// With jitter, releases come at any instants, and closer to one another by what they are late.
    #[test]
    fn threads_that_may_be_released_late_need_room_for_each_release() {
        let late = |jitter, threads: Vec<Thread>| {
            let mut system = system(vec![(20 * MS, 40 * MS, threads)]);
            system.sandboxes[0].servers[0].jitter = jitter;
            give_room(&mut system, &CostTable::NONE);
            system.sandboxes[0].servers[0].room
        };
        let thread = |period| vec![thread(MS, period, Runs::Nothing)];
        assert_eq!(late(0, thread(80 * MS)), 2 + 1);
        assert_eq!(late(MS, thread(80 * MS)), 2 + 1);
        assert_eq!(late(MS, thread(40 * MS)), 2 + 2);
        assert_eq!(late(MS, thread(10 * MS)), 2 + 5);
        assert_eq!(late(MS, vec![]), 2 + 1, "all of the budget, in one piece");
    }

    #[test]
    fn a_driver_that_takes_all_of_the_budget_finds_it_in_one_piece() {
        let driver = thread(20 * MS, 40 * MS, Runs::Driver(0));
        assert!(room_for(vec![driver]) >= 3);
    }

    /// Two drivers that together ask for all of the budget in every period.
    fn drivers() -> (u64, u64, Vec<Thread>) {
        let driver = || thread(10 * MS, 40 * MS, Runs::Driver(0));
        (20 * MS, 40 * MS, vec![driver(), driver()])
    }

    #[test]
    fn a_server_whose_list_may_grow_without_end_is_refused_by_name() {
        let alone = system(vec![drivers()]);
        assert!(crate::check(&alone, &CostTable::NONE).sandboxes[0].servers[0].has_room);

        // Below another its budget comes late, and it never catches up.
        let above = (MS, 10 * MS, vec![thread(MS, 10 * MS, Runs::Voter(0))]);
        let mut below = system(vec![above, drivers()]);
        let report = crate::check(&below, &CostTable::NONE);
        let server = &report.sandboxes[0].servers[1];
        assert!(server.response.is_some_and(|it| it <= server.deadline));
        assert!(!server.schedulable() && !report.schedulable());
        let reason = &server.failure.as_ref().unwrap().reason;
        assert!(reason.contains("65536"), "{reason}");

        // It gets room for what comes in two periods all the same.
        give_room(&mut below, &CostTable::NONE);
        assert_eq!(below.sandboxes[0].servers[1].room, 2 + 2 * 2);
    }
}
