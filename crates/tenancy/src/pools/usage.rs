//! How many connections there are, for metrics. Must not name a database or a login.

use domain::names::ServerName;

/// One server's connections at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUsage {
    /// The server.
    pub server: ServerName,
    /// Its connections, from the moment one begins to open until it is closed. Never above `budget`.
    pub open: u32,
    /// Those of them that no request uses.
    pub idle: u32,
    /// Requests that wait for a connection.
    pub waiting: u32,
    /// The most connections.
    pub budget: u32,
}

/// One tenant's connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TenantUsage {
    /// From the moment one begins to open until it is closed.
    pub open: u32,
    /// Those of them that no request uses.
    pub idle: u32,
}
