//! The companion API on real PostgreSQL and Redis.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's fixtures fail as its assertions do")]

mod audit;
mod cache;
mod directory;
mod edge;
mod pools;
mod registry;
