//! Boots a boot module in Bochs and shows its console.
use std::time::{Duration, Instant};
use xtask::emulator::bochs::{Machine, Model, Options};
use xtask::emulator::{Directory, ExitCounts};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let system = xtask::image::describe(arguments[1].as_ref()).unwrap();
    let module = xtask::image::assemble(&system).unwrap();
    let model = if arguments[0] == "intel" { Model::Intel } else { Model::Amd };
    let mut options = Options::for_system(&system, module, model);
    options.bound = Duration::from_secs(arguments.get(2).map_or(20, |s| s.parse().unwrap()));
    let start = Instant::now();
    let mut machine = Machine::start(&options).unwrap();
    println!("started after {:?} with {} MiB", start.elapsed(), options.memory);
    machine.resume().unwrap();
    let mut seen = 0;
    loop {
        let stop = machine.stopped().unwrap();
        for line in &machine.console.lines()[seen..] {
            println!("{:8.3} {line}", start.elapsed().as_secs_f64());
            seen += 1;
        }
        if let Some(stop) = stop {
            println!("stopped at {} after {:?}", stop.ticks, start.elapsed());
            break;
        }
        if let Err(error) = machine.check() {
            println!("{error}");
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let line = machine.console.wait_for("directory at", Duration::ZERO).unwrap();
    let directory = Directory::read(&machine.memory, Directory::address(&line).unwrap()).unwrap();
    for entry in &directory.entries {
        let counts = ExitCounts::read(&machine.memory, entry).unwrap();
        println!("{:?}", counts.since(ExitCounts::default()).collect::<Vec<_>>());
    }
    println!("{:?}", machine.quit());
}
