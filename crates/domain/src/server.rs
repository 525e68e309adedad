//! One `DatabaseServer`: what its object asks for, what was observed of the server, the next action, and its conditions.

pub mod action;
mod desired;
pub mod plan;
pub mod status;

pub use desired::{AllowedNamespaces, DesiredServer, Host, TlsMode};
