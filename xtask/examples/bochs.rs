//! Boots a boot module in Bochs and shows its console.
use std::path::PathBuf;
use std::time::{Duration, Instant};
use xtask::emulator::bochs::{Machine, Model, Options};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let output = xtask::build::output_directory();
    let options = Options {
        emulator: "bochs-bin".into(),
        model: if arguments[0] == "intel" {
            Model::Intel
        } else {
            Model::Amd
        },
        cores: 4,
        memory: 256,
        rom: output.join("tern-rom"),
        hypervisor: output.join("tern-hypervisor"),
        module: arguments.get(1).filter(|a| *a != "-").map(PathBuf::from),
        command_line: format!("tsc_hertz={}", xtask::emulator::bochs::configuration::TICKS_PER_SECOND),
        bound: Duration::from_secs(arguments.get(2).map_or(20, |s| s.parse().unwrap())),
    };
    let start = Instant::now();
    let mut machine = Machine::start(&options).unwrap();
    println!("started after {:?}", start.elapsed());
    machine.resume().unwrap();
    let mut seen = 0;
    loop {
        let stop = machine.stopped();
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
            let stop = machine.interrupt();
            println!("{stop:?}");
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    println!("{:?}", machine.quit());
}
