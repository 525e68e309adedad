//! One `DatabaseServer`: what its object asks for, what is seen of the server, the one next step, and what to tell about it.

pub mod plan;
mod spec;
pub mod status;

pub use spec::{AllowedNamespaces, Host, ServerSpec, TlsMode};
