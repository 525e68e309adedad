//! The tenant servers as this process knows them: who answers, and how to connect. The server controller writes it, the School controller reads it.
//!
//! Must not open connections beyond its bounded pools, and must never take a server that was not observed yet for one that does not exist.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use domain::names::ServerName;
use domain::school::observed::Unavailable;
use domain::server::DesiredServer;
use postgres::session::{self, Credentials, Endpoint, Purpose, Tls};
use secrecy::ExposeSecret as _;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::sync::Semaphore;

/// Databases staged at once on one server; more only compete for its disk.
const STAGED_AT_ONCE: usize = 4;
/// Connections of the operator to one server beyond one for each School that is reconciled at once.
const SPARE_CONNECTIONS: u32 = 2;

/// How to connect to one server as its admin. Replaced when its address, admin login or TLS changes.
#[derive(Debug)]
pub struct ServerConnection {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// The admin login.
    pub admin: Credentials,
    /// The database that the admin logs in to.
    pub maintenance: String,
    /// Bounded pool of admin sessions; opens connections when first used.
    pub pool: PgPool,
    /// A permit for each database that is being staged.
    pub staging: Semaphore,
}

impl ServerConnection {
    /// Opens nothing yet.
    #[must_use]
    pub fn new(endpoint: Endpoint, admin: Credentials, maintenance: String, concurrency: u16) -> Self {
        let options = session::options(&endpoint, &admin, &maintenance, Purpose::Operator);
        let pool = PgPoolOptions::new()
            .max_connections(u32::from(concurrency) + SPARE_CONNECTIONS)
            .acquire_timeout(session::CONNECT_TIMEOUT)
            .idle_timeout(Duration::from_secs(90))
            .max_lifetime(Duration::from_mins(30))
            .connect_lazy_with(options);
        Self { endpoint, admin, maintenance, pool, staging: Semaphore::new(STAGED_AT_ONCE) }
    }

    /// It was made from these settings.
    #[must_use]
    pub fn is_to(&self, endpoint: &Endpoint, admin: &Credentials, maintenance: &str) -> bool {
        self.endpoint == *endpoint
            && self.maintenance == maintenance
            && self.admin.username == admin.username
            && self.admin.password.expose_secret() == admin.password.expose_secret()
    }

    /// The certificates that clients verify this server with.
    #[must_use]
    pub fn authority(&self) -> Option<&[u8]> {
        match &self.endpoint.tls {
            Tls::VerifyCa(pem) | Tls::VerifyFull(pem) => Some(pem),
            Tls::Disable | Tls::Require => None,
        }
    }
}

/// What is known of one server.
#[derive(Clone, Debug)]
pub struct ServerState {
    /// What its object asks for.
    pub desired: DesiredServer,
    /// How to connect to it, once that is known.
    pub connection: Option<Arc<ServerConnection>>,
    /// The migrator's login on it.
    pub migrator: Option<Credentials>,
    /// Fit for the schools on it, or why not.
    pub fitness: Result<(), Unavailable>,
    /// The template of the operator's schema exists, so that new schools can be created.
    pub template: bool,
}

/// Every server observed so far.
#[derive(Debug, Default)]
pub struct ServerCache(RwLock<HashMap<ServerName, ServerState>>);

impl ServerCache {
    /// Replaces what is known of a server. True when something changed that matters to Schools.
    pub fn put(&self, name: &ServerName, state: ServerState) -> bool {
        let mut servers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let matters = servers.get(name).is_none_or(|before| {
            before.fitness != state.fitness
                || before.template != state.template
                || before.desired != state.desired
                || !same_connection(before.connection.as_ref(), state.connection.as_ref())
        });
        servers.insert(name.clone(), state);
        matters
    }

    /// Forgets a server whose object is gone.
    pub fn remove(&self, name: &ServerName) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// What is known of one server; none when it was never observed.
    #[must_use]
    pub fn get(&self, name: &ServerName) -> Option<ServerState> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Every server's name and state.
    #[must_use]
    pub fn all(&self) -> Vec<(ServerName, ServerState)> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).iter().map(|(name, state)| (name.clone(), state.clone())).collect()
    }
}

fn same_connection(before: Option<&Arc<ServerConnection>>, now: Option<&Arc<ServerConnection>>) -> bool {
    match (before, now) {
        (Some(before), Some(now)) => Arc::ptr_eq(before, now),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}
