//! The controllers: look, plan, act, tell. Everything that decides is in `domain`; everything that does is in the adapters.

mod attempts;
mod conditions;
pub mod context;
pub mod error;
mod lanes;
mod latest;
mod ledger;
mod news;
pub mod run;
pub mod school;
pub mod server;
pub mod servers;
mod upkeep;
mod wake;
mod watch;
