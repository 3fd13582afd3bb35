//! The text of descriptions with one sandbox, and the systems that they describe.
use tern_config::{Description, System};

pub const MS: u64 = 1_000_000;

pub fn head() -> String {
    "[system]\nname = \"x\"\n[[sandbox]]\nname = \"s\"\ncore = 0\n".to_owned()
}

pub fn server(name: &str, budget: &str, period: &str, rest: &str) -> String {
    format!(
        "[[sandbox.server]]\nname = \"{name}\"\nbudget = \"{budget}\"\nperiod = \"{period}\"\n{rest}\n"
    )
}

pub fn thread(name: &str, rest: &str) -> String {
    format!("[[sandbox.server.thread]]\nname = \"{name}\"\n{rest}\n")
}

/// A system whose third server is 2 ms late.
pub fn late() -> String {
    head()
        + &server("a", "10ms", "30ms", "")
        + &server("b", "10ms", "40ms", "")
        + &server("c", "12ms", "50ms", "")
}

pub fn system(text: &str) -> System {
    Description::parse("x.toml", text)
        .unwrap_or_else(|problems| panic!("{problems}"))
        .system
}
