//! Cost tables: found by name beside or above the description, and complete.
use tern_config::Description;
use tern_config::description::Costs;

const TABLE: &str = "[costs]\ncontext_switch = \"1us\"\ntimer_interrupt = \"2us\"\n\
    replenishment = \"3ns\"\nsystem_call = \"4ns\"\nhypercall = \"5ns\"\npage_hash = \"6ns\"\n\
    page_copy = \"7ns\"\npage_repair = \"9ns\"\ntrace_record = \"8ns\"\nlongest_non_preemptible = \"0ns\"\n";

fn described(platform: &str) -> String {
    format!(
        "[system]\nname = \"x\"\nplatform = \"{platform}\"\n[[sandbox]]\nname = \"s\"\ncore = 0\n"
    )
}

#[test]
fn every_cost_is_read() {
    let costs = Costs {
        context_switch: 1_000,
        timer_interrupt: 2_000,
        replenishment: 3,
        system_call: 4,
        hypercall: 5,
        page_hash: 6,
        page_copy: 7,
        page_repair: 9,
        trace_record: 8,
        longest_non_preemptible: 0,
    };
    assert_eq!(Costs::parse("p.toml", TABLE), Ok(costs));
}

#[test]
fn a_cost_that_was_not_measured_is_missed() {
    for (text, expected) in [
        (
            TABLE.replace("page_hash = \"6ns\"\n", ""),
            "p.toml:1: costs.page_hash: missing: add `page_hash = \"…us\"`",
        ),
        (
            TABLE.replace("\"6ns\"", "6"),
            "p.toml:7: costs.page_hash: expected a duration such as \"1.5ms\", found integer",
        ),
        (
            TABLE.replace("page_hash", "page_hush"),
            "p.toml:1: costs.page_hash: missing: add `page_hash = \"…us\"`\n\
             p.toml:7: costs.page_hush: unknown key, did you mean `page_hash`?",
        ),
        (String::new(), "p.toml:1: costs: missing: add [costs]"),
    ] {
        assert_eq!(
            Costs::parse("p.toml", &text).unwrap_err().to_string(),
            expected
        );
    }
}

#[test]
fn a_table_is_found_in_the_nearest_folder_above() {
    let top = std::env::temp_dir().join(format!("tern-platform-{}", std::process::id()));
    let below = top.join("systems").join("x");
    std::fs::create_dir_all(&below).unwrap();
    std::fs::create_dir_all(top.join("platforms")).unwrap();
    std::fs::write(top.join("platforms").join("board.toml"), TABLE).unwrap();
    let file = below.join("x.toml");
    let costs = |platform: &str| {
        std::fs::write(&file, described(platform)).unwrap();
        Description::read(&file)?.costs()
    };
    assert_eq!(costs("board").unwrap(), Costs::parse("", TABLE).unwrap());
    assert_eq!(costs("none").unwrap(), Costs::default());
    let missing = costs("bored").unwrap_err().to_string();
    let outside = costs("../platforms/board").unwrap_err().to_string();
    std::fs::remove_dir_all(&top).unwrap();
    assert_eq!(
        missing,
        format!(
            "{}:3: system.platform: there is no cost table platforms/bored.toml beside this file \
             or above: measure one, or write \"none\" for zero overheads",
            file.display()
        )
    );
    assert!(outside.contains("no /"), "{outside}");
}
