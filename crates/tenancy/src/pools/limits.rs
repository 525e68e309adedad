//! How many connections there may be, and how long operations on them may take.
//!
//! Must not hold a tenant's own limits: its route does.

use std::time::Duration;

use crate::circuit_breaker::BreakerSettings;

/// Bounds of [`super::Pools`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most connections open to one server, including idle ones and those that open or close.
    pub server_budget: u32,
    /// The most connections of one tenant; its own setting may allow fewer.
    pub tenant_cap: u32,
    /// Time to wait for a connection when none is free. Where opening one takes long, the wait is as long as a few of them, up to `connect_timeout`.
    pub wait: Duration,
    /// Requests of one tenant that may wait, for each connection that it may have.
    pub waiters_per_connection: u32,
    /// Requests that may wait on one server.
    pub server_waiters: u32,
    /// An idle connection is closed after this time.
    pub idle: Duration,
    /// A connection is closed after this time, a fifth more or less.
    pub lifetime: Duration,
    /// A connection that was idle for longer must answer before it is used.
    pub check_after_idle: Duration,
    /// The most time to connect, once there is a slot (`wait` is for that). A tenant's own setting may allow less.
    pub connect_timeout: Duration,
    /// The most time that a statement may take. A tenant's own setting may allow less. No more than a request has: after that nobody waits for the result.
    pub command_timeout: Duration,
    /// A session that does not answer in this time is closed.
    pub answer_timeout: Duration,
    /// How long a server may continue a statement whose session was closed: the session's `client_connection_check_interval`.
    pub abandoned_statement: Duration,
    /// A session that leads to a standby is not replaced by a new one while it is younger than this: the address was asked for just now.
    pub standby_recheck: Duration,
    /// When a tenant's failed connects stop further ones.
    pub breaker: BreakerSettings,
    /// How long no connect is tried with credentials that were refused.
    pub refusal_pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            server_budget: 50,
            tenant_cap: 8,
            wait: Duration::from_millis(250),
            waiters_per_connection: 4,
            server_waiters: 1_000,
            idle: Duration::from_mins(1),
            lifetime: Duration::from_mins(30),
            check_after_idle: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(3),
            command_timeout: Duration::from_secs(70),
            answer_timeout: Duration::from_secs(1),
            abandoned_statement: Duration::from_secs(10),
            standby_recheck: Duration::from_secs(1),
            breaker: BreakerSettings { failures: 5, window: Duration::from_secs(30), pause: Duration::from_secs(10) },
            refusal_pause: Duration::from_mins(1),
        }
    }
}
