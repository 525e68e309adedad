//! What the operator hears of the master database: changes of tenants' rows, and logins that the API was refused.
//!
//! Must not trust a payload further than an id: whoever may log in to the master database may send one.

use std::time::Duration;

use domain::names::TenantId;
use postgres::error::Doing as _;
use registry::listener::{self, LISTENING};
use registry::{refusals, tenants};
use sqlx::postgres::{PgListener, PgPool};
use uuid::Uuid;

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
        Ok(Self(listener::listen(pool, &[tenants::CHANNEL, refusals::CHANNEL], ANSWER).await?))
    }

    /// The next that is heard.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn next(&mut self) -> postgres::Result<Heard> {
        loop {
            let Ok(received) = tokio::time::timeout(SILENCE, listener::receive(&mut self.0)).await else {
                // A connection can die silently.
                let alive = sqlx::query("SELECT").execute(&mut self.0);
                tokio::time::timeout(ANSWER, alive).await.map_err(|_| postgres::Error::timed_out(LISTENING))?.doing(LISTENING)?;
                continue;
            };
            let notification = received?;
            let Ok(tenant) = Uuid::parse_str(notification.payload()).map(TenantId) else { continue };
            return Ok(if notification.channel() == refusals::CHANNEL { Heard::Refused(tenant) } else { Heard::Changed(tenant) });
        }
    }
}
