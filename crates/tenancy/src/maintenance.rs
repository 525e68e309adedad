//! The daily maintenance of databases: partitions of the access audit, answers to keyed POSTs that have expired, and whether the server knows the school's time zone.
//!
//! It runs on a connection that a caller has anyway, so that idle schools are not connected to. Must not fail its caller: what fails is logged and
//! tried again later.

pub mod metrics;

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Days, NaiveTime, TimeDelta, Utc};
use domain::names::TenantId;
use domain::retry::Class;
use postgres::error::Doing as _;
use sqlx::QueryBuilder;
use sqlx::postgres::{PgConnection, Postgres};

/// When to try again after a failure, mostly because another session held a lock.
const RETRY: TimeDelta = TimeDelta::minutes(10);

/// When each database is due. One entry for each school that this process wrote to, and one for the master database.
#[derive(Debug, Default)]
pub(crate) struct Maintenance {
    due: Mutex<HashMap<Option<TenantId>, DateTime<Utc>>>,
    /// Schools whose time zone their server does not know.
    without_time_zone: Mutex<HashSet<TenantId>>,
}

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
        // Again and again, because a gauge that nobody sets for minutes is not shown.
        metrics::without_time_zone(self.without_time_zone().len());
        if !self.is_due(tenant) {
            return;
        }
        let now = Utc::now();
        // Postponed before it begins, so that a slow attempt delays one batch of its caller and not the next one too.
        self.postpone(tenant);
        let done = match tenant {
            Some(tenant) => self.maintain_school(conn, tenant).await,
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

    async fn maintain_school(&self, conn: &mut PgConnection, tenant: TenantId) -> postgres::Result<()> {
        let partitions = make_partitions(conn, "SELECT app.ensure_access_audit_partitions(1)").await;
        let is_known = knows_time_zone(conn).await;
        if let Ok(is_known) = is_known {
            self.report_time_zone(tenant, is_known);
        }
        // Each keyed POST deletes some expired answers. The last ones before an idle time are left for this. A failure above must not keep them.
        partitions.and(is_known.map(|_| ())).and(delete_expired_answers(conn).await)
    }

    /// The school's administrators read of it in their settings.
    fn report_time_zone(&self, tenant: TenantId, is_known: bool) {
        if !is_known {
            tracing::warn!(
                tenant_id = %tenant,
                "the school's server does not know its time zone any more, so the school's days go on in Europe/Lisbon: its administrator must set \
                 school.time_zone, or the server needs the package tzdata-legacy"
            );
        }
        let mut without = self.without_time_zone();
        if is_known {
            without.remove(&tenant);
        } else {
            without.insert(tenant);
        }
        metrics::without_time_zone(without.len());
    }

    fn without_time_zone(&self) -> MutexGuard<'_, HashSet<TenantId>> {
        self.without_time_zone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn due(&self) -> MutexGuard<'_, HashMap<Option<TenantId>, DateTime<Utc>>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds a statement that deletes expired answers to keyed POSTs from a school's database, the oldest first: at most `limit`, or all. It waits for no lock.
pub fn push_delete_expired_answers(statement: &mut QueryBuilder<Postgres>, limit: Option<u32>) {
    statement.push(
        "DELETE FROM app.idempotency_keys WHERE (user_id, key) IN \
         (SELECT user_id, key FROM app.idempotency_keys WHERE expires_at < now() ORDER BY expires_at LIMIT ",
    );
    statement.push_bind(limit.map(i64::from)).push(" FOR UPDATE SKIP LOCKED)");
}

async fn delete_expired_answers(conn: &mut PgConnection) -> postgres::Result<()> {
    let mut delete = QueryBuilder::default();
    push_delete_expired_answers(&mut delete, None);
    delete.build().execute(conn).await.doing("deleting expired answers").map(|_| ())
}

/// Whether the school's days are those of the time zone that it chose.
async fn knows_time_zone(conn: &mut PgConnection) -> postgres::Result<bool> {
    let select = "SELECT NOT EXISTS (SELECT FROM app.settings WHERE key = 'school.time_zone' AND value <> to_jsonb(app.time_zone()))";
    sqlx::query_scalar(select).fetch_one(conn).await.doing("asking for the school's time zone")
}

async fn make_partitions(conn: &mut PgConnection, make: &'static str) -> postgres::Result<()> {
    sqlx::query(make).execute(conn).await.doing("making partitions of the access audit").map(|_| ())
}

fn tomorrow(now: DateTime<Utc>) -> DateTime<Utc> {
    now.date_naive().checked_add_days(Days::new(1)).map_or(now + RETRY, |day| day.and_time(NaiveTime::MIN).and_utc())
}
