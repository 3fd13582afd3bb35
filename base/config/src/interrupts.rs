//! At which priority the line of a device interrupts: its vector, and what is held off while
//! a server runs. Hypervisor, kernel and analysis take both from here.
use alloc::vec::Vec;

use tern_abi::layout::{
    DOORBELL_VECTOR, HIGHEST_DEVICE_CLASS, LINES, LOWEST_DEVICE_CLASS, line_vector, priority_class,
};

use crate::ports::SERIAL_PORTS;
use crate::system::{Runs, Server, System};

/// Priorities of one sandbox whose lines can be told apart: one for each class. There are no
/// more devices than that.
const MAX_PRIORITIES: usize = (HIGHEST_DEVICE_CLASS - LOWEST_DEVICE_CLASS) as usize + 1;
const _: () = assert!(SERIAL_PORTS.len() <= MAX_PRIORITIES);

/// The lines of a sandbox's devices, by the priority at which they interrupt.
///
/// The local APIC holds off vectors by class, their upper four bits. A line has the class of
/// the highest priority that its driver's server may have, so no server is interrupted for
/// work that could not preempt it. Each priority with lines has a class of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterruptPlan {
    /// Each line that has a driver, with the priority at which it interrupts.
    lines: Vec<(u8, u32)>,
    /// The priorities of the lines, each once, the most urgent first.
    priorities: Vec<u32>,
}

impl InterruptPlan {
    /// Returns the vector at which `line` arrives; `None` for a line without a driver, which
    /// stays masked.
    #[must_use]
    pub fn vector(&self, line: u8) -> Option<u8> {
        let (_, priority) = self.lines.iter().find(|(other, _)| *other == line)?;
        let above = self.priorities.iter().take_while(|it| *it < priority);
        Some(line_vector(class(above.count()), line))
    }

    /// Returns the highest class that is held off while a server of this priority runs: that
    /// of the lines whose drivers could not preempt it, or else the doorbells', which release
    /// nothing.
    #[must_use]
    pub fn held_off(&self, priority: u32) -> u8 {
        let (above, all) = (
            self.priorities.iter().take_while(|it| **it <= priority),
            self.priorities.len(),
        );
        match above.count() {
            above if above < all => class(above),
            _ => priority_class(DOORBELL_VECTOR),
        }
    }
}

/// The class of the lines that have this number of more urgent priorities with lines above
/// them. Beyond [`MAX_PRIORITIES`], which no sound description has, they share the lowest.
fn class(above: usize) -> u8 {
    HIGHEST_DEVICE_CLASS - above.min(MAX_PRIORITIES - 1) as u8
}

impl System {
    /// Returns the priority at which the line of `device` interrupts in `sandbox`: the highest
    /// that its driver's server may have, its own or one that it inherits from requesters.
    /// `None` if no thread there drives it, or it is simulated or shared, and has no line.
    ///
    /// A guest without servers is not known to have drivers: its lines have the highest.
    #[must_use]
    pub fn line_priority(&self, sandbox: usize, device: u32) -> Option<u32> {
        let servers = &self.sandboxes.get(sandbox)?.servers;
        let described = self.devices.get(device as usize)?;
        if described.channels.is_some() || described.is_shared() {
            return None;
        }
        if servers.is_empty() {
            return Some(0);
        }

        let drives = |server: &Server| {
            let mut threads = server.threads.iter();
            threads.any(|thread| thread.runs == Runs::Driver(device))
        };
        let own = servers.iter().position(drives)?;
        let requesters = self.requesters(sandbox, own);
        let priorities = requesters.chain([own]).map(|it| servers[it].priority);
        priorities.min()
    }

    /// Returns how the lines of the devices of `sandbox` interrupt it.
    #[must_use]
    pub fn interrupt_plan(&self, sandbox: usize) -> InterruptPlan {
        let devices = self.sandboxes.get(sandbox).map(|owner| &owner.devices);
        let devices = devices.into_iter().flatten();
        let lines: Vec<(u8, u32)> = devices
            .filter_map(|device| {
                let line = self.devices.get(*device as usize)?.interrupt;
                let priority = self.line_priority(sandbox, *device)?;
                (line < LINES).then_some((line, priority))
            })
            .collect();

        let mut priorities: Vec<u32> = lines.iter().map(|(_, priority)| *priority).collect();
        priorities.sort_unstable();
        priorities.dedup();
        InterruptPlan { lines, priorities }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::system::{Device, DeviceChannels, ReplicaSet, Sandbox, ServerKind, Thread};
    use std::vec;
    use tern_abi::layout::TIMER_VECTOR;

    fn thread(runs: Runs) -> Thread {
        Thread {
            runs,
            ..Thread::default()
        }
    }

    /// A sandbox with a server for each of `runs`, the first the most urgent, and a device at
    /// each of `lines`.
    fn system(runs: Vec<Runs>, lines: &[u8]) -> System {
        let servers = (0..).zip(runs).map(|(priority, runs)| Server {
            kind: ServerKind::Io,
            priority,
            threads: vec![thread(runs)],
            ..Server::default()
        });
        let devices = lines.iter().map(|line| Device {
            interrupt: *line,
            ..Device::default()
        });
        System {
            sandboxes: vec![Sandbox {
                servers: servers.collect(),
                devices: (0..lines.len() as u32).collect(),
                ..Sandbox::default()
            }],
            devices: devices.collect(),
            ..System::default()
        }
    }

    #[test]
    fn a_server_is_interrupted_for_its_own_work_and_what_is_more_urgent_and_for_no_other() {
        // Servers by priority: program, driver of line 3, program, driver of line 4, program.
        let runs = vec![
            Runs::Nothing,
            Runs::Driver(0),
            Runs::Nothing,
            Runs::Driver(1),
            Runs::Nothing,
        ];
        let system = system(runs, &[3, 4]);
        let plan = system.interrupt_plan(0);
        for (line, driver) in [(3, 1), (4, 3)] {
            let class = priority_class(plan.vector(line).unwrap());
            for server in 0..5 {
                let arrives = class > plan.held_off(server);
                assert_eq!(arrives, driver <= server, "line {line}, server {server}");
            }
        }
        // Whatever runs, the timer interrupts and doorbells do not.
        for server in 0..5 {
            let held_off = plan.held_off(server);
            assert!(held_off < priority_class(TIMER_VECTOR));
            assert!(held_off >= priority_class(DOORBELL_VECTOR));
        }
    }

    #[test]
    fn a_line_has_the_priority_that_its_driver_inherits_from_who_sends_through_it() {
        let runs = vec![
            Runs::Nothing,
            Runs::Voter(0),
            Runs::Nothing,
            Runs::Driver(0),
        ];
        let mut system = system(runs, &[3]);
        assert_eq!(
            system.line_priority(0, 0),
            Some(3),
            "nobody sends through it"
        );
        system.replica_sets.push(ReplicaSet {
            device: Some(0),
            ..ReplicaSet::default()
        });
        assert_eq!(system.line_priority(0, 0), Some(1));
        // A sporadic server inherits nothing.
        system.sandboxes[0].servers[3].kind = ServerKind::Sporadic;
        assert_eq!(system.line_priority(0, 0), Some(3));
    }

    #[test]
    fn a_line_without_a_driver_stays_masked() {
        let mut system = system(vec![Runs::Nothing, Runs::Driver(0)], &[3, 4]);
        let plan = system.interrupt_plan(0);
        assert!(plan.vector(3).is_some());
        assert_eq!(plan.vector(4), None, "nothing drives it");
        assert_eq!(plan.vector(5), None, "not the sandbox's");

        system.devices[0].channels = Some(DeviceChannels::default());
        assert_eq!(system.interrupt_plan(0).vector(3), None, "simulated");
        system.devices[0] = Device {
            interrupt: 16,
            ..Device::default()
        };
        assert_eq!(system.interrupt_plan(0).vector(16), None, "no legacy line");

        system.sandboxes[0].servers.clear();
        assert!(
            system.interrupt_plan(0).vector(4).is_some(),
            "another guest"
        );
        assert_eq!(system.interrupt_plan(7).vector(4), None, "no such sandbox");
    }

    #[test]
    fn vectors_are_told_apart_whatever_drives_the_lines() {
        // A server for each line, one for all lines, and groups of four.
        for group in [1, 4, 16] {
            let lines: Vec<u8> = (0..16).collect();
            let runs = (0..16).map(Runs::Driver).collect();
            let mut system = system(runs, &lines);
            for server in &mut system.sandboxes[0].servers {
                server.priority /= group;
            }
            let plan = system.interrupt_plan(0);
            let mut vectors: Vec<u8> = (0..16).filter_map(|line| plan.vector(line)).collect();
            vectors.sort_unstable();
            vectors.dedup();
            assert_eq!(vectors.len(), 16, "no two lines share a vector");
            let classes = LOWEST_DEVICE_CLASS..=HIGHEST_DEVICE_CLASS;
            let mut found = vectors.iter().map(|vector| priority_class(*vector));
            assert!(found.all(|class| classes.contains(&class)));
        }
    }
}
