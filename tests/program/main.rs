//! The product's own program, started as a process: what it prints, how it serves and how it ends.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's fixtures fail as its assertions do")]
#![allow(clippy::large_futures, reason = "a test reads best where things stand when they are needed")]

#[path = "../../crates/api/tests/api/conformance.rs"]
mod conformance;
#[path = "../../crates/provisioning/tests/master/fixtures.rs"]
#[allow(dead_code, reason = "the tests of the master database use the rest")]
mod fixtures;
#[path = "../../crates/api/tests/api/world.rs"]
#[allow(dead_code, reason = "the tests of the API use the rest")]
mod world;

mod api;
mod platform_admin;
