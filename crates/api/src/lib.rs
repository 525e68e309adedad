//! The companion API: each request in its own school's database.
//!
//! Reads routes from the master database and nothing else of the platform: must not know Kubernetes, an admin's credentials or sealing keys.
//!
//! A module may use those before it in this order, and none after it; the test in `order` holds them to it:
//!
//! - what requests and answers are made of: `error`, `answer`, `client`, `idempotency_key`, `body`, `document`
//! - around every handler: `metrics`, `edge`
//! - who asks, and what they may do: `identity`, `grants`, `app`, `access`
//! - the routes: `resource`, `accounts`, `school`, `platform`, `router`
//! - the process: `settings`, `maintenance`, `run`

pub mod access;
pub mod accounts;
pub mod answer;
pub mod app;
pub mod body;
pub mod client;
pub mod document;
pub mod edge;
pub mod error;
pub mod grants;
pub mod idempotency_key;
pub mod identity;
pub mod maintenance;
pub mod metrics;
#[cfg(test)]
mod order;
pub mod platform;
pub mod resource;
pub mod router;
pub mod run;
pub mod school;
pub mod settings;
