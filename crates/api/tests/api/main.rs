//! The companion API on real PostgreSQL and Redis.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's fixtures fail as its assertions do")]
#![allow(
    clippy::needless_pass_by_value,
    clippy::items_after_statements,
    clippy::large_futures,
    clippy::cloned_ref_to_slice_refs,
    clippy::format_push_string,
    clippy::print_stderr,
    reason = "a test reads best where things stand when they are needed, and a long one says how far it is"
)]

mod accounts;
mod amplification;
mod cache;
mod care;
mod children;
mod devices;
mod docs;
mod edge;
mod exports;
mod faults;
mod fuzzing;
mod identity;
mod isolation;
mod people;
mod platform;
mod visibility;
