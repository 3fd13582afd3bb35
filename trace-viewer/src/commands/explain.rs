//! `tern explain FILE`: why a job took as long as it did.
use std::fmt::Write as _;
use std::path::PathBuf;

use crate::layout::Layout;
use crate::status::Status;
use crate::story::{Story, Why};
use crate::summary::{Summary, ThreadSummary};
use crate::table::signed_span;
use crate::table::{Table, instant, span};

/// Tells what happened on a core while a job was under way.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The trace.
    file: PathBuf,
    /// The job's sandbox; by default any.
    #[arg(long)]
    sandbox: Option<String>,
    /// The job's thread; by default any.
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
    let refuse = |reason: String| {
        super::complain_of(&arguments.file, &reason);
        Status::Usage
    };
    super::on_sound_trace(&arguments.file, |trace| {
        let summary = Summary::from_trace(trace);
        let chosen = choose(trace.layout(), &summary, arguments);
        let (core, thread, job) = chosen.map_err(refuse)?;
        let story = Story::of(trace, core, thread, job);
        let story = story.ok_or_else(|| refuse(format!("job {job} is not in the trace")))?;
        if arguments.json {
            super::print_json(&story)?;
        } else {
            let exceeded = summary.exceeded.iter();
            let first: String = exceeded
                .map(|exceeded| format!("above its bound: {exceeded}\n"))
                .collect();
            super::print(&(first + &text(&story)))?;
        }
        Ok(summary.status())
    })
}

/// The job asked for. Among several threads, the first with a miss; else the one that
/// came closest to its deadline.
fn choose(
    layout: &Layout,
    summary: &Summary,
    arguments: &Arguments,
) -> Result<(usize, u16, u32), String> {
    let fits = |wanted: &Option<String>, name: &str| wanted.as_deref().is_none_or(|it| it == name);
    let sandboxes = summary.sandboxes.iter().enumerate();
    let sandboxes = sandboxes.filter(|(_, sandbox)| fits(&arguments.sandbox, &sandbox.sandbox));
    let all = sandboxes.clone().flat_map(|(core, sandbox)| {
        let threads = sandbox.threads.iter().enumerate();
        threads.map(move |(position, thread)| (core, position, thread))
    });
    let threads = all
        .clone()
        .filter(|(.., it)| fits(&arguments.thread, &it.thread));
    if let Some(name) = &arguments.sandbox
        && sandboxes.clone().next().is_none()
    {
        let known = summary.sandboxes.iter().map(|it| it.sandbox.as_str());
        return Err(super::unknown("sandbox", name, known));
    }
    if let Some(name) = &arguments.thread
        && threads.clone().next().is_none()
    {
        let known = all.map(|(.., thread)| thread.thread.as_str());
        return Err(super::unknown("thread", name, known));
    }
    let jobs = threads.filter_map(|(core, position, thread)| {
        let number = thread_number(layout, core, position, &thread.thread)?;
        let slowest = thread.response.map(|times| times.max_job);
        let job = arguments.job.or(thread.missed_jobs.first()).or(slowest)?;
        Some((urgency(thread), (core, number, job)))
    });
    let most_urgent = jobs.reduce(|most, next| if next.0 > most.0 { next } else { most });
    let (_, job) = most_urgent.ok_or("there is no job to explain")?;
    Ok(job)
}

/// How much of its deadline a thread's slowest job took; more than any if it missed.
fn urgency(thread: &ThreadSummary) -> f64 {
    match (thread.response, thread.deadline_ns) {
        _ if thread.misses > 0 => f64::INFINITY,
        (Some(times), Some(deadline)) => times.max_ns as f64 / deadline as f64,
        _ => 0.0,
    }
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
    if let Some(bound) = story.bound_ns {
        let _ = writeln!(text, "  bound     {}", span(bound));
    }
    for why in Why::ALL {
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
