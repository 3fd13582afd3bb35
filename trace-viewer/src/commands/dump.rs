//! `tern dump FILE`: every record, one a line.
use std::fmt::Write as _;
use std::path::PathBuf;

use tern_trace::{Event, Trace};

use crate::describe::describe;
use crate::layout::Layout;
use crate::status::Status;

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
#[must_use]
pub fn run(arguments: &Arguments) -> Status {
    let known = |name: &String| tern_trace::Kind::ALL.iter().any(|kind| kind.name() == name);
    if let Some(unknown) = arguments.kind.iter().find(|name| !known(name)) {
        let names: Vec<_> = tern_trace::Kind::ALL
            .iter()
            .map(|kind| kind.name())
            .collect();
        eprintln!(
            "tern: no kind is named {unknown}; the kinds are {}",
            names.join(", ")
        );
        return Status::Usage;
    }
    let trace = match super::load(&arguments.file) {
        Ok(trace) => trace,
        Err(status) => return status,
    };
    if let Some(name) = &arguments.sandbox
        && !trace.cores.iter().any(|core| core.sandbox == *name)
    {
        let names: Vec<_> = trace
            .cores
            .iter()
            .map(|core| core.sandbox.as_str())
            .collect();
        eprintln!(
            "tern: no sandbox is named {name}; the sandboxes are {}",
            names.join(", ")
        );
        return Status::Usage;
    }
    let (lines, status) = records(&trace, arguments);
    super::print(&text(&trace, &lines));
    status
}

struct Line {
    at: i64,
    core: usize,
    event: Event,
}

fn records(trace: &Trace, arguments: &Arguments) -> (Vec<Line>, Status) {
    let mut lines = Vec::new();
    let mut status = super::losses(trace);
    let after = |at: i64, limit: Option<f64>| limit.is_none_or(|limit| at as f64 / 1e6 >= limit);
    let before = |at: i64, limit: Option<f64>| limit.is_none_or(|limit| at as f64 / 1e6 <= limit);
    for (number, core) in trace.cores.iter().enumerate() {
        if arguments
            .sandbox
            .as_ref()
            .is_some_and(|name| *name != core.sandbox)
        {
            continue;
        }
        for event in core.events() {
            match event {
                Ok((tsc, event)) => {
                    let at = trace.nanos(tsc);
                    let kind = event.encode(0).0.kind.name();
                    let wanted = arguments.kind.is_empty()
                        || arguments.kind.iter().any(|wanted| wanted == kind);
                    if wanted && after(at, arguments.from) && before(at, arguments.to) {
                        lines.push(Line {
                            at,
                            core: number,
                            event,
                        });
                    }
                }
                Err(error) => {
                    eprintln!("tern: sandbox {}: {error}", core.sandbox);
                    status = Status::Unsound;
                }
            }
        }
    }
    lines.sort_by_key(|line| line.at);
    (lines, status)
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
            "{:>14.3}us  {:widest$}  {:17} {}",
            line.at as f64 / 1e3,
            trace.cores[line.core].sandbox,
            line.event.encode(0).0.kind.name(),
            describe(line.event, line.core, &layout, &reason)
        );
    }
    text
}
