//! How this program speaks to the Kubernetes API: bounded calls, errors classified by status, and writes that carry their precondition.
//!
//! Must not know PostgreSQL, the registry or the custom resources: what is here works on any kind.

pub mod client;
pub mod cluster;
pub mod condition;
pub mod error;
pub mod events;
pub mod lease;
mod merge;
pub mod object;
pub mod secrets;

pub use client::within;
pub use error::{Error, Result};

/// The field manager of every write, so that `metadata.managedFields` tells our fields from other people's.
pub const FIELD_MANAGER: &str = "dailycare-operator";
