//! One School: what is wanted, what is seen, the one next step, and what to tell about it.

pub mod seen;
pub mod wanted;
