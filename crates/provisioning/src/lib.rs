//! Everything that needs an admin credential or a sealing key: tenant servers, and the operator's side of the master database.
//!
//! Must not know Kubernetes, and must not decide what happens to a school: the operator decides and calls. The API must not depend on this crate, so that it
//! holds no admin credential and no sealing key; the workspace's `architecture` test holds that.

pub mod master;
pub mod scram;
pub mod server;
