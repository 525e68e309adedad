//! The companion API on real PostgreSQL and Redis.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

mod edge;
