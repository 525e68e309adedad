//! What a school and a server are, what they need next and why.
//!
//! Invariant: pure. No clock, no I/O, no client types, no randomness: everything a decision rests on is an argument.
//! `cargo check --no-default-features --lib` compiles this module alone and so keeps it that way.

pub mod condition;
pub mod names;
pub mod placement;
pub mod retry;
pub mod school;
pub mod server;
