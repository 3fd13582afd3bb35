//! Reading traces: what ran, how long it took, and whether that was right. The library
//! behind the `tern` command; `xtask` judges runs by the same numbers.
#![forbid(unsafe_code)]

pub mod commands;
pub mod describe;
pub mod difference;
pub mod export;
pub mod layout;
pub mod names;
pub mod perfetto;
pub mod print;
pub mod ranges;
pub mod read;
pub mod report;
pub mod simulate;
pub mod status;
pub mod story;
pub mod summary;
pub mod table;
mod tracks;
pub mod verdict;
