//! How this program tells how it is: logs, metrics, health. Must not know what it tells about, and must not show a secret.

pub mod health;
pub mod http;
pub mod logs;
pub mod metrics;
