//! The product's own program, started as a process: what it prints, how it serves and how it ends.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's fixtures fail as its assertions do")]
#![allow(clippy::large_futures, reason = "a test reads best where things stand when they are needed")]

mod api;
mod platform_admin;
mod school_admin;
