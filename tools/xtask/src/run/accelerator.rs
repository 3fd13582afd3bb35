//! Which accelerator a run gets: the host's processor only where nested
//! virtualization has been seen to work.
use crate::emulator::{Accelerator, Clock, Machine, Options};
use std::fs::OpenOptions;
use std::time::Duration;

/// How long a machine under KVM may take to boot before it is given up.
const TRIAL_BOUND: Duration = Duration::from_secs(10);

/// Sets the accelerator of `options` and says why.
///
/// KVM is tried by booting the very machine; what a host claims about nested
/// virtualization is often not so.
pub fn choose(options: &mut Options, ready: &str) -> String {
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let has_svm = processor
        .lines()
        .any(|line| line.starts_with("flags") && line.split_whitespace().any(|flag| flag == "svm"));
    let reason = if !has_svm {
        "the host's processor offers no AMD-V".to_string()
    } else if let Err(error) = OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        format!("/dev/kvm: {error}")
    } else {
        let trial = Options {
            accelerator: Accelerator::Kvm,
            processor: "host".into(),
            clock: Clock::Host,
            plant: false,
            bound: TRIAL_BOUND,
            ..options.clone()
        };
        match Machine::start(&trial).and_then(|mut machine| machine.wait_for(ready)) {
            Ok(_) => {
                *options = Options {
                    plant: options.plant,
                    bound: options.bound,
                    ..trial
                };
                return "KVM: nested virtualization works here".into();
            }
            Err(error) => format!("nested virtualization does not work here ({error})"),
        }
    };
    let time = match options.clock {
        Clock::Instructions { shift } => format!("counted time, {} ns an instruction", 1 << shift),
        Clock::Host => "the host's time".into(),
    };
    format!("TCG, {time} ({reason})")
}
