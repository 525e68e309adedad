//! Logs, metrics and probes. Must not know the metrics of a program, and must not show a secret.

pub mod health;
pub mod http;
pub mod logs;
pub mod metrics;
