//! The companion API on real PostgreSQL and Redis.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's fixtures fail as its assertions do")]

mod audit;
mod cache;
mod children;
mod directory;
mod edge;
mod faults;
mod isolation;
mod pools;
mod process;
mod registry;
mod torture;
mod world;
