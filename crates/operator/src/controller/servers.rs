//! The servers as this process knows them: who answers, and how to reach it. Filled by the server controller, read by the School controller.
//!
//! Must not open connections by itself beyond its bounded pools, and must never take a server it has not looked at yet for one that does not exist.

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
/// Connections of the operator to one server beyond one for each School that is worked on.
const SPARE_CONNECTIONS: u32 = 2;

/// How to reach one server. Made anew when its address, admin login or TLS changes.
#[derive(Debug)]
pub struct Reach {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// The admin login.
    pub admin: Credentials,
    /// The database that the admin logs in to.
    pub maintenance: String,
    /// Bounded pool of admin sessions; opens connections when first used.
    pub pool: PgPool,
    /// A permit for each database being staged.
    pub staging: Semaphore,
}

impl Reach {
    /// Nothing is opened yet.
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

    /// This is how to reach a server with these settings.
    #[must_use]
    pub fn is(&self, endpoint: &Endpoint, admin: &Credentials, maintenance: &str) -> bool {
        self.endpoint == *endpoint
            && self.maintenance == maintenance
            && self.admin.username == admin.username
            && self.admin.password.expose_secret() == admin.password.expose_secret()
    }

    /// The certificates that clients of this server verify it with.
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
pub struct Known {
    /// What its object asks for.
    pub spec: DesiredServer,
    /// How to reach it, once that is known.
    pub reach: Option<Arc<Reach>>,
    /// The migrator's login on it.
    pub migrator: Option<Credentials>,
    /// Fit for the schools that live there, or why not.
    pub state: Result<(), Unavailable>,
    /// The template of the operator's schema stands, so that new schools can be made.
    pub template: bool,
}

/// Every server looked at.
#[derive(Debug, Default)]
pub struct Servers(RwLock<HashMap<ServerName, Known>>);

impl Servers {
    /// Notes what is known now; whether that matters to Schools.
    pub fn put(&self, name: &ServerName, known: Known) -> bool {
        let mut servers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let matters = servers.get(name).is_none_or(|before| {
            before.state != known.state
                || before.template != known.template
                || before.spec != known.spec
                || !same_reach(before.reach.as_ref(), known.reach.as_ref())
        });
        servers.insert(name.clone(), known);
        matters
    }

    /// Forgets a server whose object is gone.
    pub fn remove(&self, name: &ServerName) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// What is known of one server; none when it was never looked at.
    #[must_use]
    pub fn get(&self, name: &ServerName) -> Option<Known> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Every server's name and what is known of it.
    #[must_use]
    pub fn all(&self) -> Vec<(ServerName, Known)> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).iter().map(|(name, known)| (name.clone(), known.clone())).collect()
    }
}

fn same_reach(before: Option<&Arc<Reach>>, now: Option<&Arc<Reach>>) -> bool {
    match (before, now) {
        (Some(before), Some(now)) => Arc::ptr_eq(before, now),
        (None, None) => true,
        _ => false,
    }
}
