//! `tern check`: its numbers, its advice, and what the command says and ends with.
mod advice;
mod bounds;
mod command;
mod descriptions;
mod random;
