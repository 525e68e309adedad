//! Opening a connection in a place of the budget.

use std::sync::Arc;
use std::time::Instant;

use domain::names::TenantId;
use postgres::error::Doing as _;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use super::connection::{Connection, Session};
use super::place::Place;
use super::server::Server;
use super::{Error, Target};

const DOING: &str = "connecting to the school's database";

/// Connects within the target's time, unless the tenant's breaker is open.
pub(super) async fn open(place: Place, target: &Target) -> Result<Connection, Error> {
    let server = Arc::clone(place.server());
    let limits = &server.shared().limits;
    let attempt = Attempt::begin(&server, target)?;
    let options = target.options(limits.command_timeout);
    let connecting = tokio::time::timeout(target.connect_timeout.min(limits.connect_timeout), PgConnection::connect_with(&options));
    let connected = connecting.await.map_or_else(|_| Err(postgres::Error::timed_out(DOING)), |connected| connected.doing(DOING));
    let connection = attempt.end(connected.map_err(Error::connecting))?;
    let (now, epoch, pooling, command_timeout) = (Instant::now(), target.epoch, target.pooling, target.command_timeout);
    let expires = now + server.shared().spread_lifetime(now);
    let session = Session { connection, epoch, pooling, command_timeout, dirty: false, transaction: false, since: now, expires };
    let connection = Connection::new(session, place);
    // The route may have changed, or the end begun, meanwhile; giving the connection back then closes it.
    server.refuse_late(target.tenant, epoch).map(|()| connection)
}

impl super::Shared {
    /// The lifetime, a fifth more or less: connections that were opened together end apart.
    fn spread_lifetime(&self, opened: Instant) -> std::time::Duration {
        use std::hash::BuildHasher as _;
        let percent = u32::try_from(self.spread.hash_one(opened) % 41).unwrap_or(20) + 80;
        self.limits.lifetime * percent / 100
    }
}

/// One connect, as the tenant's breaker sees it: told how it ended, even if it was dropped.
struct Attempt<'a> {
    server: &'a Server,
    tenant: TenantId,
    epoch: i64,
    ended: bool,
}

impl<'a> Attempt<'a> {
    fn begin(server: &'a Server, target: &Target) -> Result<Self, Error> {
        let (tenant, epoch) = (target.tenant, target.epoch);
        server.breaker(tenant, |breaker| breaker.admit(epoch, Instant::now()))?;
        Ok(Self { server, tenant, epoch, ended: false })
    }

    fn end<T>(mut self, outcome: Result<T, Error>) -> Result<T, Error> {
        self.ended = true;
        let (limits, epoch, now) = (&self.server.shared().limits, self.epoch, Instant::now());
        self.server.breaker(self.tenant, |breaker| match &outcome {
            Ok(_) | Err(Error::Stale) => breaker.answered(epoch),
            Err(Error::Unreachable(_)) => breaker.failed(limits, now),
            Err(Error::Refused(_)) => breaker.refused(epoch, limits, now),
            Err(_) => breaker.abandoned(),
        });
        if matches!(outcome, Err(Error::Unreachable(_))) {
            self.server.suspect();
        }
        outcome
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.server.breaker(self.tenant, super::breaker::Breaker::abandoned);
        }
    }
}
