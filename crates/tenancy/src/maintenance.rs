//! The daily maintenance of databases: partitions of the access audit, and answers to keyed POSTs that have expired.
//!
//! It runs on a connection that a caller has anyway, so that idle schools are not connected to. Must not fail its caller: what fails is logged and
//! tried again later.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Days, NaiveTime, TimeDelta, Utc};
use domain::names::TenantId;
use domain::retry::Class;
use postgres::error::Doing as _;
use sqlx::postgres::PgConnection;

/// When to try again after a failure, mostly because another session held a lock.
const RETRY: TimeDelta = TimeDelta::minutes(10);

/// When each database is due. One entry for each school that this process wrote to, and one for the master database.
#[derive(Debug, Default)]
pub(crate) struct Maintenance(Mutex<HashMap<Option<TenantId>, DateTime<Utc>>>);

impl Maintenance {
    /// Whether the school's database, or the master database without a tenant, has had no maintenance today (UTC).
    pub(crate) fn is_due(&self, tenant: Option<TenantId>) -> bool {
        self.due().get(&tenant).is_none_or(|due| *due <= Utc::now())
    }

    /// Makes the next attempt wait, after one that could not begin.
    pub(crate) fn postpone(&self, tenant: Option<TenantId>) {
        self.due().insert(tenant, Utc::now() + RETRY);
    }

    /// Does what is due, in transactions of its own. Audit records can be written even after a failure: the default partition takes what has no other.
    pub(crate) async fn run(&self, conn: &mut PgConnection, tenant: Option<TenantId>) {
        if !self.is_due(tenant) {
            return;
        }
        let now = Utc::now();
        // Postponed before it begins, so that a slow attempt delays one batch of its caller and not the next one too.
        self.postpone(tenant);
        let done = match tenant {
            Some(_) => maintain_school(conn).await,
            None => make_partitions(conn, "SELECT registry.ensure_access_audit_partitions(1)").await,
        };
        match done {
            Ok(()) => {
                self.due().insert(tenant, tomorrow(now));
            }
            Err(error) if error.class() == Class::Contended => {
                tracing::debug!(tenant_id = tenant.map(tracing::field::display), %error, "the daily maintenance is postponed");
            }
            Err(error) => tracing::warn!(tenant_id = tenant.map(tracing::field::display), %error, "the daily maintenance failed"),
        }
    }

    fn due(&self) -> MutexGuard<'_, HashMap<Option<TenantId>, DateTime<Utc>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Deletes expired answers to keyed POSTs from a school's database, the oldest first: at most `limit`, or all. Waits for no lock.
///
/// # Errors
/// When the database fails.
pub async fn delete_expired_answers(conn: &mut PgConnection, limit: Option<u32>) -> postgres::Result<()> {
    let delete = "DELETE FROM app.idempotency_keys WHERE (user_id, key) IN \
                  (SELECT user_id, key FROM app.idempotency_keys WHERE expires_at < now() ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED)";
    sqlx::query(delete).bind(limit.map(i64::from)).execute(conn).await.doing("deleting expired answers").map(|_| ())
}

async fn maintain_school(conn: &mut PgConnection) -> postgres::Result<()> {
    let partitions = make_partitions(conn, "SELECT app.ensure_access_audit_partitions(1)").await;
    // Each keyed POST deletes some expired answers. The last ones before an idle time are left for this. A failure above must not keep them.
    partitions.and(delete_expired_answers(conn, None).await)
}

async fn make_partitions(conn: &mut PgConnection, make: &'static str) -> postgres::Result<()> {
    sqlx::query(make).execute(conn).await.doing("making partitions of the access audit").map(|_| ())
}

fn tomorrow(now: DateTime<Utc>) -> DateTime<Utc> {
    now.date_naive().checked_add_days(Days::new(1)).map_or(now + RETRY, |day| day.and_time(NaiveTime::MIN).and_utc())
}
