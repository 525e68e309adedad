//! Tenancy on real PostgreSQL and Redis, without HTTP.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's fixtures fail as its assertions do")]
#![allow(
    clippy::needless_pass_by_value,
    clippy::items_after_statements,
    clippy::large_futures,
    clippy::cloned_ref_to_slice_refs,
    reason = "a test reads best where things stand when they are needed"
)]

mod audit;
mod cache;
mod master;
mod pools;
mod registry_cache;
