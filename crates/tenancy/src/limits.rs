//! Limits on how much of this process one caller may use: a rate for each address or user, a share for each school, and memory for large documents.
//!
//! Must not know HTTP: a refusal says when to try again, and the caller turns that into its own answer.

mod allowance;
mod exports;
mod tenant;

pub use allowance::{Allowance, CUSTOMER, network};
pub use exports::{ExportLimits, ExportPermit, Exports};
pub use tenant::{InFlight, Quota, TenantLimits, TooManyRequests};
