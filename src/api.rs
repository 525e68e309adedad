//! The companion API: each request in its own school's database.
//!
//! Reads routes from the master database and nothing else of the platform: must not know Kubernetes, an admin's credentials or `controller`.

pub mod answer;
pub mod audit;
pub mod body;
pub mod directory;
pub mod error;
pub mod pools;
