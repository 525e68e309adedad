//! How the operator connects to one tenant server as its admin.
//!
//! Must not open connections beyond its bounds. Two sessions are held as long as the server allows it, because a server that is full of other sessions lets
//! nobody in, and the school that fills it must still be closed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use postgres::session::{self, Credentials, Endpoint, Purpose, Tls};
use secrecy::ExposeSecret as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool};
use telemetry::logs::chain;

/// How long a School waits for the held session, which serves one after another.
const HELD_WAIT: Duration = Duration::from_secs(30);

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
    pool: PgPool,
    /// One session for Schools, for the time when the server lets nobody else in.
    held: PgPool,
    /// One session to observe the server in such a time, so that a long drop does not make it seem away.
    observing: PgPool,
    full: AtomicBool,
}

impl ServerConnection {
    /// Opens nothing yet, and never more than `connections` and the held ones.
    #[must_use]
    pub fn new(endpoint: Endpoint, admin: Credentials, maintenance: String, connections: u32) -> Self {
        let options = session::options(&endpoint, &admin, &maintenance, Purpose::Operator);
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(session::CONNECT_TIMEOUT)
            .idle_timeout(Duration::from_secs(90))
            .max_lifetime(Duration::from_mins(30))
            .connect_lazy_with(options.clone());
        let (held, observing) = (one_held(options.clone(), HELD_WAIT), one_held(options, session::CONNECT_TIMEOUT));
        Self { endpoint, admin, maintenance, pool, held, observing, full: AtomicBool::new(false) }
    }

    /// It was made from these settings.
    #[must_use]
    pub fn is_to(&self, endpoint: &Endpoint, admin: &Credentials, maintenance: &str) -> bool {
        self.endpoint == *endpoint
            && self.maintenance == maintenance
            && self.admin.username == admin.username
            && self.admin.password.expose_secret() == admin.password.expose_secret()
    }

    /// Both were made from the same settings.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.is_to(&other.endpoint, &other.admin, &other.maintenance)
    }

    /// The certificates that clients verify this server with.
    #[must_use]
    pub fn authority(&self) -> Option<&[u8]> {
        match &self.endpoint.tls {
            Tls::VerifyCa(pem) | Tls::VerifyFull(pem) => Some(pem),
            Tls::Disable | Tls::Require => None,
        }
    }

    /// Sessions to work with: the held one while the server lets nobody else in.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        if self.full.load(Ordering::Relaxed) { &self.held } else { &self.pool }
    }

    /// The session to observe the server with while it lets nobody else in.
    #[must_use]
    pub fn observing(&self) -> &PgPool {
        &self.observing
    }

    /// Records whether the server lets nobody else in.
    pub fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    /// Opens the held sessions if they are not open, and proves that they are. Call it while the server lets sessions in.
    pub async fn keep_held(&self) {
        for pool in [&self.held, &self.observing] {
            // One that is at work needs no proof.
            if pool.size() > 0 && pool.num_idle() == 0 {
                continue;
            }
            // Acquiring tests a session that is open.
            match tokio::time::timeout(session::CONNECT_TIMEOUT, pool.acquire()).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::debug!(error = chain(&error), "a session to hold could not be opened"),
                Err(_) => tracing::debug!("a session to hold was not opened in time"),
            }
        }
    }
}

/// A session without an end of life. [`provisioning::server::session_guard::SessionGuard`] knows such a pool by that and cleans its session instead of closing
/// it: a full server would not let another in.
fn one_held(options: PgConnectOptions, wait: Duration) -> PgPool {
    PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(wait)
        .idle_timeout(None)
        .max_lifetime(None)
        .after_release(|conn, _| {
            Box::pin(async move { Ok(tokio::time::timeout(session::CONNECT_TIMEOUT, clean(conn)).await.unwrap_or(false)) })
        })
        .connect_lazy_with(options)
}

/// Ends what the session may have been left with. False when it is of no use any more.
async fn clean(conn: &mut PgConnection) -> bool {
    const RESET: &str = "SELECT pg_advisory_unlock_all(); RESET ALL";
    // BEGIN first, because a lone ROLLBACK is a warning in the server's log. It fails in a transaction that has failed.
    if sqlx::raw_sql(AssertSqlSafe(format!("BEGIN; ROLLBACK; {RESET}"))).execute(&mut *conn).await.is_ok() {
        return true;
    }
    sqlx::raw_sql(AssertSqlSafe(format!("ROLLBACK; {RESET}"))).execute(conn).await.is_ok()
}
