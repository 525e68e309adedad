//! The machinery that every other test stands on: the private control plane and the private PostgreSQL servers. It must not test the
//! product.

#![allow(clippy::unwrap_used, clippy::panic, reason = "functions that only tests call are not recognised as tests")]

mod abandoned;
mod control_plane;
mod postgres;

use std::fs;

/// Whether there is such a process that has not ended.
fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, fields)| !fields.trim_start().starts_with(['Z', 'X']))
}
