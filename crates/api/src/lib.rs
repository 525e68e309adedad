//! The companion API: each request in its own school's database.
//!
//! Reads routes from the master database and nothing else of the platform: must not know Kubernetes, an admin's credentials or `controller`.

pub mod access;
pub mod answer;
pub mod app;
pub mod body;
pub mod client;
pub mod document;
pub mod edge;
pub mod error;
pub mod grants;
pub mod identity;
pub mod maintenance;
pub mod metrics;
pub mod platform;
pub mod resource;
pub mod router;
pub mod run;
pub mod school;
pub mod settings;
