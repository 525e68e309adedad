//! Limits on how much of this process one caller may use: a rate for each address or user, and a share for each school.
//!
//! Must not know HTTP: a refusal says when to try again, and the caller turns that into its own answer.

mod allowance;
mod tenant;

pub use allowance::{Allowance, network};
pub use tenant::{InFlight, Quota, TenantLimits, TooManyRequests};
