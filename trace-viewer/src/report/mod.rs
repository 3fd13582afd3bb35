//! The report: one HTML file that needs nothing else, with the run's numbers, a Gantt
//! chart with each server's budget, and every job's story.
use serde::Serialize;

use crate::read::SoundTrace;
use crate::summary::Summary;
use crate::tracks::{self, CoreTracks};
use crate::verdict::conformance::Conformance;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
const SCRIPTS: [&str; 4] = [
    include_str!("data.js"),
    include_str!("chart.js"),
    include_str!("panels.js"),
    include_str!("main.js"),
];

/// All that the page shows.
#[derive(Serialize)]
struct Contents {
    summary: Summary,
    conformance: Conformance,
    verdict: String,
    status: u8,
    /// What took longer than was promised, in words.
    above: Vec<String>,
    cores: Vec<CoreTracks>,
}

/// The page for a trace.
#[must_use]
pub fn html(trace: &SoundTrace<'_>) -> String {
    let summary = Summary::from_trace(trace);
    let contents = Contents {
        conformance: Conformance::of(trace),
        verdict: summary.verdict(),
        status: summary.status() as u8,
        above: summary.exceeded.iter().map(ToString::to_string).collect(),
        cores: tracks::cores(trace, summary.to_ns),
        summary,
    };
    let title = contents
        .summary
        .system
        .clone()
        .unwrap_or_else(|| "unknown system".to_string());
    fill(&title, &json(&contents))
}

/// JSON that may stand in a script element: no `<` that could end it.
fn json(contents: &Contents) -> String {
    serde_json::to_string(contents)
        .unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
        .replace('<', "\\u003c")
}

/// The page's parts in their places. What is filled in is not searched again.
fn fill(title: &str, data: &str) -> String {
    let title = title.replace('&', "&amp;").replace('<', "&lt;");
    let scripts = SCRIPTS.concat();
    let mut page = String::with_capacity(data.len() + scripts.len() + PAGE.len() + STYLE.len());
    let mut rest = PAGE;
    while let Some((before, after)) = rest.split_once("{{") {
        page.push_str(before);
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        page.push_str(match name {
            "title" => &title,
            "style" => STYLE,
            "data" => data,
            "script" => &scripts,
            _ => "",
        });
        rest = after;
    }
    page.push_str(rest);
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_filled_in_can_break_the_page() {
        let page = fill("a <b> & {{data}}", "\"{{script}}\"");
        assert!(page.contains("<title>a &lt;b> &amp; {{data}}"));
        assert!(page.contains("\"{{script}}\""));
        assert_eq!(page.matches("</html>").count(), 1);
    }
}
