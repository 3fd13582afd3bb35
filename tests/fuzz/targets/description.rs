//! The reader of system descriptions: any text is a system or a list of problems, each
//! with a line of the file; what is a system is analysed without a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tern_check::{check, check_and_advise};
use tern_config::Description;
use tern_sched::analysis::CostTable;
use trace_viewer::print::{CheckJson, CheckText};

fuzz_target!(|text: &str| {
    // A string that is not closed ends after the last line.
    let lines = 1 + text.matches('\n').count();
    match Description::parse("fuzz.toml", text) {
        Ok(description) => {
            assert!(description.system.references_hold());
            let _ = description.validate_bootable();
            let report = check(&description.system, &CostTable::NONE);
            let _ = serde_json::to_string(&CheckJson::from(&report)).expect("a report is JSON");
            let advised = check_and_advise(&description.system, &CostTable::NONE);
            assert_eq!(report.schedulable(), advised.schedulable());
            let _ = CheckText(&advised).to_string();
            let _ = description.system.unprotected();
        }
        Err(problems) => {
            assert!(!problems.list.is_empty());
            for problem in &problems.list {
                assert!((1..=lines).contains(&problem.line), "{problem:?}");
                assert!(!problem.reason.is_empty());
            }
        }
    }
});
