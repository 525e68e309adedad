//! The companion API on real PostgreSQL and Redis.

mod edge;
