//! The companion API on real PostgreSQL and Redis.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's fixtures fail as its assertions do")]

mod identity;
