//! Real servers for tests, benches and `make cluster`: a private Kubernetes control plane, private PostgreSQL and Redis servers.
//!
//! Everything binds to loopback, on ports of its own, with credentials of its own. Nothing here fakes a server, and nothing here is
//! compiled into the product: it is a dev-dependency only. The programs come from the cache that `dev/install` fills; this crate
//! never fetches anything. It must not depend on the operator, the tenancy or the API: what their tests share stands with them.

mod account;
pub mod alerts;
mod argo_cd;
mod awaiting;
mod certificates;
mod command;
mod control_plane;
mod error;
pub mod kubernetes;
pub mod master;
pub mod metrics;
mod operator;
mod platform;
mod port;
mod postgres;
mod process;
mod programs;
mod random;
mod redis;
mod scratch;
mod seeded;
mod tls_front;

pub use self::argo_cd::argo_cd_health;
pub use self::awaiting::{PATIENCE, eventually, until, until_some};
pub use self::control_plane::ControlPlane;
pub use self::error::{Error, Result};
pub use self::operator::{Operator, OperatorOptions};
pub use self::platform::{Platform, School};
pub use self::postgres::{Postgres, PostgresOptions, Refusal, Version};
pub use self::process::Process;
pub use self::programs::{kubectl, psql, schemathesis};
pub use self::redis::Redis;
pub use self::seeded::{Random, seed};
pub use self::tls_front::TlsFront;

/// How long what was started lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// No longer than the starting process, however that ends: by return, panic, abort or SIGKILL.
    Test,
    /// Until it is stopped, by this process or another one that finds the recorded process ids.
    Detached,
}
