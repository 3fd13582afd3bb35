//! What people are told of a system that is not schedulable.
use tern_check::{check, check_and_advise};
use tern_sched::analysis::CostTable;
use tern_units::Duration;
use trace_viewer::print::CheckText;

use crate::descriptions::{late, system};

#[test]
fn people_get_a_table_with_the_reason_and_the_smallest_change() {
    let report = CheckText(&check_and_advise(&system(&late()), &CostTable::NONE)).to_string();
    assert_eq!(
        report,
        "x: NOT SCHEDULABLE (no platform: costs not counted)\n\
         \n\
         sandbox s, core 0\n  \
           server  work  period  response  deadline  slack        by\n  \
           a       10ms    30ms      10ms      30ms   20ms\n  \
           b       10ms    40ms      20ms      40ms   20ms\n  \
           c       12ms    50ms      52ms      50ms   -2ms  LATE\n  \
           c: its budget is delivered after 52ms, 2ms beyond the deadline\n    \
             smallest change that helps: lower the budget of \"b\" from 10ms to 9ms, or raise its \
             deadline from 50ms to 52ms\n"
    );
}

#[test]
fn repairs_without_a_bound_are_told_with_the_reason() {
    let set = include_str!("../../../base/config/tests/full.toml");
    let costs = CostTable {
        page_repair: Duration::from_millis(1),
        ..CostTable::NONE
    };
    let report = CheckText(&check(&system(set), &costs)).to_string();
    assert!(report.contains("no bound on repairs"), "{report}");
}
