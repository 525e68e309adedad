//! How many connections there may be and how long anything about them may take.

use std::time::Duration;

/// Bounds of [`super::Pools`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most connections open to one server, idle ones and those that open or close included.
    pub server_budget: u32,
    /// The most connections of one tenant; its own setting may allow fewer.
    pub tenant_cap: u32,
    /// Time to wait for a connection when none is free.
    pub wait: Duration,
    /// Requests of one tenant that may wait, for each connection that it may have.
    pub waiters_per_connection: u32,
    /// Requests that may wait on one server.
    pub server_waiters: u32,
    /// An idle connection is closed after this time.
    pub idle: Duration,
    /// A connection is closed after this time, a fifth more or less.
    pub lifetime: Duration,
    /// A connection that was idle for longer must answer before it is handed out.
    pub check_after_idle: Duration,
    /// The most time to connect, once there is a place to (`wait` is for that); a tenant's own setting may allow less.
    pub connect_timeout: Duration,
    /// The most time that a statement may take; a tenant's own setting may allow less. No more than a request has: beyond, nobody waits for it.
    pub command_timeout: Duration,
    /// A session that does not answer in this time is closed.
    pub answer: Duration,
    /// How long a server may go on with a statement whose session was closed: the session's `client_connection_check_interval`.
    pub abandoned: Duration,
    /// This many failed connects...
    pub failures: u32,
    /// ...in this time open a tenant's breaker...
    pub failures_within: Duration,
    /// ...for this time.
    pub open_after_failures: Duration,
    /// How long no connect is tried with credentials that were refused.
    pub open_after_refusal: Duration,
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
            answer: Duration::from_secs(1),
            abandoned: Duration::from_secs(10),
            failures: 5,
            failures_within: Duration::from_secs(30),
            open_after_failures: Duration::from_secs(10),
            open_after_refusal: Duration::from_mins(1),
        }
    }
}
