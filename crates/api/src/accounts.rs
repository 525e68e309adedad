//! The accounts of a school: rows of the master database that its administrators create, change and delete.
//!
//! Their audit records are in the master database too, and the school's own audit has copies. Must not sign anybody in: `identity` does.

pub mod dto;
pub mod idempotency;
mod routes;
pub mod store;

pub use self::routes::routes;
