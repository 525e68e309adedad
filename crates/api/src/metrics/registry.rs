//! What this process knows of the registry, and its connections to tenant servers.
//!
//! Must not read either: `maintenance` does.

use std::time::Duration;

use metrics::gauge;

pub(super) const AGE: &str = "dailycare_api_tenant_registry_age_seconds";
pub(super) const TENANTS: &str = "dailycare_api_tenants";
pub(super) const SERVER_CONNECTIONS: &str = "dailycare_api_server_connections";

/// How long ago the registry confirmed the routes in memory.
pub fn age(age: Duration) {
    gauge!(AGE).set(age.as_secs_f64());
}

/// How many tenants are in memory.
pub fn tenants(count: usize) {
    gauge!(TENANTS).set(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
}

/// Counts connections to one server: `state` is open, idle, waiting or budget.
pub fn server_connections(server: &str, state: &'static str, count: u32) {
    gauge!(SERVER_CONNECTIONS, "server" => server.to_owned(), "state" => state).set(count);
}
