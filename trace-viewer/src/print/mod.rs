//! Reports as text for people and as JSON for scripts; what they say is computed elsewhere.
mod check;
mod check_json;

pub use check::CheckText;
pub use check_json::CheckJson;
