//! Where one tenant's connections go, and with which settings. Must not show the password.

use std::sync::Arc;
use std::time::Duration;

use domain::names::{DatabaseName, LoginName, ServerName, TenantId};
use postgres::session::{self, Credentials, Endpoint, Purpose};
use registry::route::Route;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::PgConnectOptions;

/// Everything that a connection of one tenant needs, of one epoch of its route. Shared: `Arc<Target>`.
#[derive(Clone)]
pub struct Target {
    /// The tenant.
    pub tenant: TenantId,
    /// Grows with every change of the route while this process lives; connections of an older one are closed.
    pub epoch: i64,
    /// The server whose budget they count against.
    pub server: ServerName,
    /// The most connections that the tenant's own setting allows.
    pub size: u16,
    /// Time to connect, as far as [`super::Limits`] allow.
    pub connect_timeout: Duration,
    /// Time that a statement may take, as far as [`super::Limits`] allow; the session's `statement_timeout`.
    pub command_timeout: Duration,
    /// Connections are kept for the next request.
    pub pooling: bool,
    endpoint: Arc<Endpoint>,
    database: DatabaseName,
    login: LoginName,
    password: SecretString,
}

impl Target {
    /// A route with the credentials that were sealed beside it.
    #[must_use]
    pub fn new(tenant: TenantId, epoch: i64, route: &Route, password: SecretString) -> Self {
        Self::with_endpoint(Arc::new(route.endpoint.clone()), tenant, epoch, route, password)
    }

    /// The same with a shared endpoint, so that the thousands of tenants of one server share one endpoint and its certificate authority.
    pub(crate) fn with_endpoint(endpoint: Arc<Endpoint>, tenant: TenantId, epoch: i64, route: &Route, password: SecretString) -> Self {
        Self {
            tenant,
            epoch,
            server: route.server.clone(),
            size: route.pool.size,
            connect_timeout: Duration::from_secs(route.pool.connect_timeout_seconds.into()),
            command_timeout: Duration::from_secs(route.pool.command_timeout_seconds.into()),
            pooling: route.pool.pooling,
            endpoint,
            database: route.database.clone(),
            login: route.login.clone(),
            password,
        }
    }

    /// Whether both open the same database with the same credentials.
    pub(crate) fn leads_where(&self, other: &Self) -> bool {
        let addresses = (&self.server, &self.endpoint, &self.database, &self.login);
        addresses == (&other.server, &other.endpoint, &other.database, &other.login)
            && self.password.expose_secret() == other.password.expose_secret()
    }

    /// The driver's options. They hold the password, so do not show them. Built for each connection: they are many times larger than a target, and a
    /// process knows thousands of targets and connects to few. `most` bounds each statement.
    pub(super) fn options(&self, most: Duration) -> PgConnectOptions {
        let credentials = Credentials { username: self.login.to_string(), password: self.password.clone() };
        let options = session::options(&self.endpoint, &credentials, self.database.as_str(), Purpose::School);
        options.options([("statement_timeout", format!("{}ms", self.command_timeout.min(most).as_millis()))])
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
