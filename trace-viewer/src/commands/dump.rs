//! `tern dump FILE`: every record, one a line.
use std::fmt::Write as _;
use std::path::PathBuf;

use tern_trace::{Event, Trace};

use crate::describe::describe;
use crate::layout::Layout;
use crate::status::Status;
use crate::table::exact_instant;

/// Prints a trace's records, one a line, all sandboxes in the order of time.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The trace.
    file: PathBuf,
    /// Only this sandbox.
    #[arg(long)]
    sandbox: Option<String>,
    /// Only records of these kinds, by name.
    #[arg(long, value_delimiter = ',')]
    kind: Vec<String>,
    /// Only from this time on, in milliseconds after the epoch.
    #[arg(long, allow_negative_numbers = true)]
    from: Option<f64>,
    /// Only up to this time, in milliseconds after the epoch.
    #[arg(long, allow_negative_numbers = true)]
    to: Option<f64>,
}

/// Runs the command.
///
/// # Errors
/// What kept it from its end.
pub fn run(arguments: &Arguments) -> Result<Status, Status> {
    let known = |name: &String| tern_trace::Kind::ALL.iter().any(|kind| kind.name() == name);
    if let Some(unknown) = arguments.kind.iter().find(|name| !known(name)) {
        let names = tern_trace::Kind::ALL.iter().map(|kind| kind.name());
        super::complain_of(&arguments.file, &super::unknown("kind", unknown, names));
        return Err(Status::Usage);
    }
    super::on_records(&arguments.file, |trace| {
        if let Some(name) = &arguments.sandbox
            && !trace.cores.iter().any(|core| core.sandbox == *name)
        {
            let names = trace.cores.iter().map(|core| core.sandbox.as_str());
            super::complain_of(&arguments.file, &super::unknown("sandbox", name, names));
            return Err(Status::Usage);
        }
        super::print(&text(trace, &lines(trace, arguments)))
    })
}

struct Line {
    at: i64,
    core: usize,
    /// Its number among its sandbox's records, from 0.
    record: usize,
    event: Event,
}

fn lines(trace: &Trace, arguments: &Arguments) -> Vec<Line> {
    let millis = |at: i64| at as f64 / 1e6;
    let wanted_core = |name: &String| arguments.sandbox.as_ref().is_none_or(|it| it == name);
    let wanted_kind = |event: &Event| {
        let kind = event.encode(0).0.kind.name();
        arguments.kind.is_empty() || arguments.kind.iter().any(|wanted| wanted == kind)
    };
    let wanted_time = |at: i64| {
        arguments.from.is_none_or(|from| millis(at) >= from)
            && arguments.to.is_none_or(|to| millis(at) <= to)
    };
    let mut lines = Vec::new();
    for (core, part) in trace.cores.iter().enumerate() {
        if !wanted_core(&part.sandbox) {
            continue;
        }
        let mut next = 0;
        for (tsc, event) in part.events().map_while(Result::ok) {
            let (at, record) = (trace.nanos(tsc), next);
            next += 1 + usize::from(event.encode(0).1.is_some());
            if wanted_time(at) && wanted_kind(&event) {
                lines.push(Line {
                    at,
                    core,
                    record,
                    event,
                });
            }
        }
    }
    lines.sort_by_key(|line| line.at);
    lines
}

fn text(trace: &Trace, lines: &[Line]) -> String {
    let layout = Layout::of(trace);
    let widest = trace
        .cores
        .iter()
        .map(|core| core.sandbox.len())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for line in lines {
        let reason = match line.event {
            Event::Exit { reason, .. } => trace.exit_reason(reason.into()),
            _ => String::new(),
        };
        let _ = writeln!(
            text,
            "{:>16}  {:widest$} {:>8}  {:17} {}",
            exact_instant(line.at),
            trace.cores[line.core].sandbox,
            line.record,
            line.event.encode(0).0.kind.name(),
            describe((line.at, line.event), line.core, &layout, &reason)
        );
    }
    text
}
