//! What the operator hears of the master database: changes of tenants' rows, and logins that the API was refused.
//!
//! Must not trust a payload further than an id: whoever may log in to the master database may send one.

use std::time::Duration;

use domain::names::TenantId;
use postgres::error::Doing as _;
use registry::{refusals, tenants};
use sqlx::postgres::{PgListener, PgPool, PgPoolOptions};
use uuid::Uuid;

const DOING: &str = "listening to the registry";
/// How long nothing may be heard before the connection is tried.
const SILENCE: Duration = Duration::from_mins(1);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// What was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A tenant's row was written.
    Changed(TenantId),
    /// The API was refused with a tenant's current credentials.
    Refused(TenantId),
}

/// A connection that listens.
pub struct Changes(PgListener);

impl Changes {
    /// Listens over a connection of its own, with the pool's settings.
    ///
    /// # Errors
    /// When the registry does not answer.
    pub async fn listen(pool: &PgPool) -> postgres::Result<Self> {
        let options = pool.connect_options().as_ref().clone();
        let own = PgPoolOptions::new().max_connections(1).acquire_timeout(ANSWER).idle_timeout(None).max_lifetime(None);
        let mut listener = PgListener::connect_with(&own.connect_lazy_with(options)).await.doing(DOING)?;
        // The driver must not reconnect by itself: whoever listens must know that it missed something.
        listener.eager_reconnect(false);
        listener.ignore_pool_close_event(true);
        let listening = listener.listen_all([tenants::CHANNEL, refusals::CHANNEL]);
        tokio::time::timeout(ANSWER, listening).await.map_err(|_| postgres::Error::timed_out(DOING))?.doing(DOING)?;
        Ok(Self(listener))
    }

    /// The next that is heard.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn next(&mut self) -> postgres::Result<Heard> {
        loop {
            let Ok(received) = tokio::time::timeout(SILENCE, self.0.try_recv()).await else {
                // A connection can die silently.
                let alive = sqlx::query("SELECT").execute(&mut self.0);
                tokio::time::timeout(ANSWER, alive).await.map_err(|_| postgres::Error::timed_out(DOING))?.doing(DOING)?;
                continue;
            };
            let ended = || postgres::Error { doing: DOING, source: sqlx::Error::Io(std::io::ErrorKind::UnexpectedEof.into()) };
            let notification = received.doing(DOING)?.ok_or_else(ended)?;
            let Ok(tenant) = Uuid::parse_str(notification.payload()).map(TenantId) else { continue };
            return Ok(if notification.channel() == refusals::CHANNEL { Heard::Refused(tenant) } else { Heard::Changed(tenant) });
        }
    }
}
