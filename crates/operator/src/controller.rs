//! The controllers: one engine that observes, plans, executes and reports, and the kinds that plug into it.
//!
//! Must not decide: everything that decides is in `domain`. Must not speak to a server by itself: that is `provisioning`'s and `kubernetes`'s work.

pub mod acceptance;
mod backoff;
pub mod cache;
mod changes;
mod concurrency;
mod conditions;
pub mod context;
mod engine;
pub mod error;
mod events;
mod freshness;
mod maintenance;
pub mod preview;
mod proven_logins;
mod refused_logins;
mod registry_changes;
mod requeue;
mod requeue_waiting;
mod reservations;
pub mod run;
pub mod school;
pub mod server;
pub mod server_cache;
pub mod server_connection;
pub mod timing;
mod waiting;
mod watch;
