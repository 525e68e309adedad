//! The companion API on real PostgreSQL and Redis.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's fixtures fail as its assertions do")]

mod audit;
mod cache;
mod children;
mod conformance;
mod docs;
mod directory;
mod edge;
mod fuzzing;
mod pools;
mod registry;
mod world;
