//! One School: what is wanted, what is seen, the one next step, and what to tell about it.

pub mod action;
#[cfg(test)]
mod model;
pub mod plan;
pub mod seen;
pub mod status;
pub mod wanted;
