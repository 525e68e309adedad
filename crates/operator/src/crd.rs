//! The custom resources of `dailycare.io/v1alpha1`: what users write and what the operator reports.
//!
//! Invariant: a schema holds only fields that work, and every optional field is resolved in [`convert`], not by a default in the schema, so that GitOps tools
//! never see a difference they did not make. What the API server lets through is parsed once more by [`convert`]; no other module reads a spec's text.
//! Must not give a field a meaning that `convert` does not.

pub mod condition;
pub mod convert;
pub mod print;
mod rule;
pub mod school;
pub mod server;
mod status;

pub use school::{School, SchoolSpec, SchoolStatus};
pub use server::{DatabaseServer, DatabaseServerSpec, DatabaseServerStatus};
pub use status::ConditionedStatus;

/// The API group of every kind here.
pub const GROUP: &str = "dailycare.io";
/// The version served and stored.
pub const VERSION: &str = "v1alpha1";

#[cfg(test)]
mod tests;
