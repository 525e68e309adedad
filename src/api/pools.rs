//! Connections to schools' databases: lazy pools for each tenant, under one budget for each server.
//!
//! A connection belongs to one tenant for its whole life. Must not decide who may use it: that is the extractor's.

mod target;

pub use target::Target;
