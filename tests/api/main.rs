//! The companion API on real PostgreSQL and Redis.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's fixtures fail as its assertions do")]

mod audit;
mod cache;
mod care;
mod children;
mod conformance;
mod directory;
mod docs;
mod edge;
mod fuzzing;
mod identity;
mod people;
mod platform;
mod pools;
mod registry;
mod world;
