//! `tern explain FILE`: why a job took as long as it did.
use std::fmt::Write as _;
use std::path::PathBuf;

use tern_trace::Trace;

use crate::describe::signed_span;
use crate::layout::Layout;
use crate::status::Status;
use crate::story::{Story, Why};
use crate::summary::Summary;
use crate::table::{Table, instant};

/// Tells what happened on a core while a job was under way.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The trace.
    file: PathBuf,
    /// The job's sandbox; by default, of the job to explain as given below.
    #[arg(long)]
    sandbox: Option<String>,
    /// The job's thread.
    #[arg(long)]
    thread: Option<String>,
    /// The job's number; by default the thread's first missed job, else its slowest.
    #[arg(long)]
    job: Option<u32>,
    /// Prints one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// What kept it from its end.
pub fn run(arguments: &Arguments) -> Result<Status, Status> {
    let trace = super::load(&arguments.file)?;
    let Some((core, thread, job)) = choose(&trace, arguments) else {
        super::complain_of(
            &arguments.file,
            &"no job fits; `tern summary` lists threads",
        );
        return Err(Status::Usage);
    };
    let Some(story) = Story::of(&trace, core, thread, job) else {
        super::complain_of(&arguments.file, &format!("job {job} is not in the trace"));
        return Err(Status::Usage);
    };
    if arguments.json {
        super::print_json(&story)?;
    } else {
        super::print(&text(&story))?;
    }
    Ok(Status::Well)
}

/// The job asked for. Among several threads, the first with a miss; else the one that
/// came closest to its deadline.
fn choose(trace: &Trace, arguments: &Arguments) -> Option<(usize, u16, u32)> {
    let layout = Layout::of(trace);
    let summary = Summary::from_trace(trace);
    let mut best = None;
    for (core, sandbox) in summary.sandboxes.iter().enumerate() {
        for (position, thread) in sandbox.threads.iter().enumerate() {
            let fits = |wanted: &Option<String>, name: &str| {
                wanted.as_ref().is_none_or(|wanted| wanted == name)
            };
            if !fits(&arguments.sandbox, &sandbox.sandbox)
                || !fits(&arguments.thread, &thread.thread)
            {
                continue;
            }
            let number = thread_number(&layout, core, position, &thread.thread)?;
            let slowest = thread.response.map(|times| times.max_job);
            let missed = thread.missed_jobs.first();
            let Some(job) = arguments.job.or(missed).or(slowest) else {
                continue;
            };
            let used = match (thread.response, thread.deadline_ns) {
                (Some(times), Some(deadline)) => times.max_ns as f64 / deadline as f64,
                _ => 0.0,
            };
            let urgency = if missed.is_some() {
                f64::INFINITY
            } else {
                used
            };
            if best.as_ref().is_none_or(|&(most, _)| urgency > most) {
                best = Some((urgency, (core, number, job)));
            }
        }
    }
    best.map(|(_, chosen)| chosen)
}

/// Threads are listed by number, but without a description there may be gaps.
fn thread_number(layout: &Layout, core: usize, position: usize, name: &str) -> Option<u16> {
    match layout.cores[core].threads.is_empty() {
        true => name.strip_prefix("thread ")?.parse().ok(),
        false => u16::try_from(position).ok(),
    }
}

fn text(story: &Story) -> String {
    let mut text = format!("{} {} job {}\n", story.sandbox, story.thread, story.job);
    let _ = writeln!(text, "  released  {}", instant(story.released_ns));
    if let Some(noticed) = story.noticed_ns.filter(|&at| at > story.released_ns) {
        let late = signed_span(noticed - story.released_ns);
        let _ = writeln!(text, "  noticed   {} ({late} later)", instant(noticed));
    }
    match story.completed_ns {
        Some(at) => {
            let response = signed_span(at - story.released_ns);
            let _ = writeln!(text, "  complete  {} (response {response})", instant(at));
        }
        None => text.push_str("  complete  never\n"),
    }
    if let Some(deadline) = story.deadline_ns {
        let slack = story.completed_ns.map(|at| deadline - at);
        let slack = match slack {
            Some(slack) if slack < 0 => format!(" (missed by {})", signed_span(-slack)),
            Some(slack) => format!(" ({} to spare)", signed_span(slack)),
            None => String::new(),
        };
        let _ = writeln!(text, "  deadline  {}{slack}", instant(deadline));
    }
    for why in [Why::Running, Why::Preempted, Why::NoBudget, Why::Blocked] {
        let time = story.time(why);
        if time > 0 {
            let _ = writeln!(text, "  {:9} {}", why.name(), signed_span(time));
        }
    }
    for (other, time) in story.others() {
        let _ = writeln!(
            text,
            "  {other} had the core for {} meanwhile",
            signed_span(time)
        );
    }
    let mut table = Table::new(&["from", "for", "on the core", "the job was"]);
    for span in &story.spans {
        table.line(vec![
            instant(span.from_ns),
            signed_span(span.to_ns - span.from_ns),
            span.thread.clone().unwrap_or_else(|| "idle".to_string()),
            span.why.name().to_string(),
        ]);
    }
    text + &table.render()
}
