//! One `DatabaseServer`: what its object asks for, what was observed of the server, the next action, and its conditions.
//!
//! Must not name Kubernetes, SQL or a clock: everything here is a pure function of its arguments.

pub mod action;
pub mod admissible;
pub mod claimant;
mod desired;
pub mod fitness;
pub mod identity;
pub mod observed;
pub mod plan;
pub mod status;

pub use desired::{AllowedNamespaces, DesiredServer, Host, PasswordForm, TlsMode};
