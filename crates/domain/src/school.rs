//! One School: what it asks for, what was observed, the next action, and its conditions.
//!
//! Must not name Kubernetes, SQL or a clock: everything here is a pure function of its arguments.

pub mod action;
pub mod admissible;
pub mod desired;
#[cfg(test)]
mod model;
pub mod observed;
pub mod plan;
pub mod status;
