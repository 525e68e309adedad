//! Many schools in one process: which there are, connections to their databases, what is cached of them, and who read what.
//!
//! Must not know HTTP, an admin credential or a sealing key.

pub mod audit;
pub mod cache;
pub mod circuit_breaker;
pub mod limits;
pub mod maintenance;
pub mod pools;
pub mod registry_cache;
mod single_flight;

/// The oldest tenant schema whose every table and column this program's statements name.
pub const SCHEMA: u32 = 22;
