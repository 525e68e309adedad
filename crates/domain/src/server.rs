//! One `DatabaseServer`: what its object asks for, what was observed of the server, the next action, and its conditions.

pub mod action;
pub mod admissible;
mod desired;
pub mod observed;
pub mod plan;
pub mod status;

pub use desired::{AllowedNamespaces, DesiredServer, Host, TlsMode};
