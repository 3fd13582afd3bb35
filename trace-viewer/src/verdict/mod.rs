//! What a sound trace proves of its servers: whether they kept their rules. Whether jobs were in
//! time is in `summary`, which says it with its numbers.
pub mod conformance;
