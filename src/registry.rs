//! The master database: which schools exist, where each one's database is, and who may sign in.
//!
//! Must not touch a school's database or Kubernetes.

pub mod password;
pub mod seal;
