//! Where one tenant's connections go, and with which settings.

use std::time::Duration;

use secrecy::SecretString;
use sqlx::postgres::PgConnectOptions;

use crate::domain::names::{ServerName, TenantId};
use crate::registry::route::Route;
use crate::sql::session::{self, Credentials, Purpose};

/// Everything that a connection of one tenant needs, of one epoch of its route. Shared: `Arc<Target>`.
#[derive(Clone)]
pub struct Target {
    /// Whose connections.
    pub tenant: TenantId,
    /// The route's epoch; connections of an older one are closed.
    pub epoch: i64,
    /// The server whose budget they count against.
    pub server: ServerName,
    /// The most connections that the tenant's own setting allows.
    pub size: u16,
    /// Time to connect.
    pub connect_timeout: Duration,
    /// Time that a statement may take; the session's `statement_timeout`.
    pub command_timeout: Duration,
    /// Connections are kept for the next request.
    pub pooling: bool,
    options: PgConnectOptions,
}

impl Target {
    /// A route with the credentials that were sealed beside it.
    #[must_use]
    pub fn new(tenant: TenantId, epoch: i64, route: &Route, password: SecretString) -> Self {
        let credentials = Credentials { username: route.login.to_string(), password };
        let options = session::options(&route.endpoint, &credentials, route.database.as_str(), Purpose::School);
        let command_timeout = Duration::from_secs(route.pool.command_timeout_seconds.into());
        Self {
            tenant,
            epoch,
            server: route.server.clone(),
            size: route.pool.size,
            connect_timeout: Duration::from_secs(route.pool.connect_timeout_seconds.into()),
            command_timeout,
            pooling: route.pool.pooling,
            options: options.options([("statement_timeout", format!("{}ms", command_timeout.as_millis()))]),
        }
    }

    /// What the driver connects with; holds the password, so it is not to be shown.
    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.options
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target")
            .field("tenant", &self.tenant)
            .field("epoch", &self.epoch)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}
