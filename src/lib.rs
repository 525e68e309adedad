//! DailyCare: one isolated PostgreSQL database per school, declared by one Kubernetes `School`.
//!
//! Dependencies point one way: `controller` → {`registry`, `postgres`, `kubernetes`, `crd`} → `domain` → nothing, and `api` → `registry` → `domain`.
//! `domain` is compiled alone by `cargo check --no-default-features --lib`, so that it stays free of clocks, I/O and clients.

#[cfg(feature = "runtime")]
pub mod api;
#[cfg(feature = "runtime")]
pub mod cli;
#[cfg(feature = "runtime")]
pub mod config;
#[cfg(feature = "runtime")]
pub mod controller;
#[cfg(feature = "runtime")]
pub mod crd;
pub mod domain;
#[cfg(feature = "runtime")]
pub mod fault;
#[cfg(feature = "runtime")]
pub mod kubernetes;
#[cfg(feature = "runtime")]
pub mod postgres;
#[cfg(feature = "runtime")]
pub mod registry;
#[cfg(feature = "runtime")]
pub mod schema;
#[cfg(feature = "runtime")]
pub mod sql;
#[cfg(feature = "runtime")]
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
