//! A sandbox's own interrupts: its timer, itself, and doorbells along a channel.
use tern_tests::{Built, Platform, Running, on_each_machine, text};

/// Two ends of one channel; `guest-interrupts` knows which it is by its command line.
fn system() -> Built {
    Built::parse(&format!(
        r#"
        [system]
        name = "interrupts"
        {}
        {}
        may_shut_down = true
        [[channel]]
        name = "news"
        writer = "writer"
        readers = ["reader"]
        size = "4KiB"
        doorbell = "10ms"
        "#,
        text::guest("writer", 0, "guest-interrupts", "writer"),
        text::guest("reader", 1, "guest-interrupts", "reader"),
    ))
}

fn interrupts_arrive(platform: Platform) {
    let mut machine = Running::start(&system(), platform);
    machine.run_to_the_end();
    let lines = machine.lines();
    let said = |sandbox: &str, text: &str| {
        let wanted = format!("[{sandbox}] {text}");
        assert!(
            lines.iter().any(|line| line.starts_with(&wanted)),
            "{platform}: no '{wanted}' in {lines:#?}"
        );
    };
    for sandbox in ["writer", "reader"] {
        // The task priority is the processor's own, with whatever APIC.
        let exits = if platform.has_x2apic() { 0 } else { 2 };
        said(
            sandbox,
            &format!("by its task priority 0 interrupts, without it 1, {exits} exits"),
        );
        if platform.has_x2apic() {
            said(sandbox, "1000 timer interrupts, 0 exits");
            said(
                sandbox,
                "2 interrupts to itself, 1 exits for the command register",
            );
        } else {
            // Programming the timer and the end of the interrupt.
            said(sandbox, "1000 timer interrupts, 2000 exits");
        }
    }
    // Sooner than the doorbell's interval, and by who does not write the channel: refused.
    said(
        "writer",
        "doorbell rung: 0, at once again: -4, exits 1 and 1",
    );
    said("reader", "doorbells 1, message 0x7465726e, rung back: -3");
}

on_each_machine! {
    interrupts_arrive_with_no_more_exits_than_the_apic_needs => interrupts_arrive;
}
