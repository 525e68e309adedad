//! The controllers: look, plan, act, tell. Everything that decides is in `domain`; everything that does is in the adapters.

mod backoff;
mod concurrency;
mod conditions;
pub mod context;
pub mod error;
mod events;
mod freshness;
mod maintenance;
mod requeue;
mod reservations;
pub mod run;
pub mod school;
pub mod server;
pub mod server_cache;
mod watch;
