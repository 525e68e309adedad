//! Opens a session in a slot of the budget. Must not try while the tenant's breaker is open.

use std::time::Instant;

use domain::names::TenantId;
use postgres::error::Doing as _;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use super::connect_breaker::{ConnectAttempt, ConnectBreaker};
use super::error::Error;
use super::session::Session;
use super::slot::{PoolServer, Slot};
use super::target::Target;

const DOING: &str = "connecting to the school's database";

/// Connects within the target's time, unless the tenant's breaker is open.
pub(super) async fn connect(slot: Slot, target: &Target) -> Result<(Slot, Session), Error> {
    let context = slot.server().context();
    let limits = &context.limits;
    let attempt = BreakerGuard::begin(slot.server(), target)?;
    let (options, opened) = (target.options(limits.command_timeout), Instant::now());
    let connecting = tokio::time::timeout(target.connect_timeout.min(limits.connect_timeout), PgConnection::connect_with(&options));
    let connected = connecting.await.map_or_else(|_| Err(postgres::Error::timed_out(DOING)), |connected| connected.doing(DOING));
    let connection = attempt.end(connected.map_err(Error::connecting))?;
    let (now, epoch, pooling, command_timeout) = (Instant::now(), target.epoch, target.pooling, target.command_timeout);
    let expires = now + context.spread_lifetime(now);
    let session =
        Session { connection, epoch, pooling, command_timeout, dirty: false, transaction: false, opened, last_used: now, expires };
    // The route may have changed meanwhile, or the process may be stopping. Giving the session back closes it then.
    if let Err(error) = context.refuse_stale(target.tenant, epoch) {
        slot.give_back(session);
        return Err(error);
    }
    Ok((slot, session))
}

/// Tells the tenant's breaker and the server how a connect ended, also when its future was dropped.
struct BreakerGuard<'a> {
    server: &'a PoolServer,
    tenant: TenantId,
    attempt: Option<ConnectAttempt>,
    /// Its number among the server's openings.
    opening: u64,
}

impl<'a> BreakerGuard<'a> {
    fn begin(server: &'a PoolServer, target: &Target) -> Result<Self, Error> {
        let attempt = server.breaker(target.tenant, |breaker| breaker.admit(target.epoch, Instant::now()))?;
        Ok(Self { server, tenant: target.tenant, attempt: Some(attempt), opening: server.begin_opening() })
    }

    fn end<T>(mut self, outcome: Result<T, Error>) -> Result<T, Error> {
        let Some(attempt) = self.attempt.take() else { return outcome };
        self.server.end_opening(self.opening, outcome.is_ok());
        let (limits, now) = (&self.server.context().limits, Instant::now());
        self.server.breaker(self.tenant, |breaker: &mut ConnectBreaker| match &outcome {
            Ok(_) | Err(Error::Stale) => breaker.answered(attempt),
            Err(Error::Unreachable(_)) => breaker.failed(attempt, limits, now),
            Err(Error::Refused(_)) => breaker.refused(attempt, limits, now),
            Err(Error::Exhausted { .. } | Error::Busy | Error::BreakerOpen { .. } | Error::Stopping) => breaker.abandoned(attempt),
        });
        if matches!(outcome, Err(Error::Unreachable(_))) {
            self.server.suspect();
        }
        outcome
    }
}

impl Drop for BreakerGuard<'_> {
    fn drop(&mut self) {
        if let Some(attempt) = self.attempt.take() {
            self.server.end_opening(self.opening, false);
            self.server.breaker(self.tenant, |breaker| breaker.abandoned(attempt));
        }
    }
}
