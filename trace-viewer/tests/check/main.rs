//! `tern check`: its numbers, its advice, and what the command says and ends with.
mod command;
#[path = "../../../check/tests/check/descriptions.rs"]
mod descriptions;
mod print;
mod random;
