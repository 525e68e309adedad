//! What a school and a server are, what they need next and why.
//!
//! Must stay pure: no clock, no I/O, no client types, no randomness. Everything a decision rests on is an argument. This crate depends on nothing that could
//! do I/O, so the compiler holds that.

pub mod condition;
pub mod failure;
#[cfg(test)]
mod gitops;
pub mod names;
pub mod placement;
pub mod plan;
pub mod retry;
pub mod school;
pub mod server;
pub mod tenant;
pub mod tier;
