//! How large the databases are of the schools that work here: one at a time, on a connection that the school has and does not use.
//!
//! Must not open a connection, nor keep a request waiting for one: a school that sleeps, or a server that is busy, is measured another time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use domain::names::TenantId;
use tenancy::pools::Connection;
use tokio::time::{MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::metrics;

/// Interval between scans for schools that are due. A scan that finds none sends no query.
const PERIOD: Duration = Duration::from_secs(5);

/// A school is measured again after this time, well within [`metrics::SILENCE`], after which its last size would be forgotten.
const AGAIN: Duration = Duration::from_mins(10);

/// For one database: a millisecond, unless its server is in trouble.
const ANSWER: Duration = Duration::from_secs(2);

/// Measures until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    let (mut ticks, mut measured) = (tokio::time::interval(PERIOD), HashMap::new());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        if stop.run_until_cancelled(pass(&app, &mut measured)).await.is_none() {
            break;
        }
    }
}

/// Every school that is due and has an idle connection. One that does not answer is due again as late as one that does.
async fn pass(app: &App, measured: &mut HashMap<TenantId, Instant>) {
    measured.retain(|_, at| at.elapsed() < AGAIN);
    for (tenant, usage) in app.pools.by_tenant() {
        if usage.idle == 0 || measured.contains_key(&tenant) {
            continue;
        }
        // Without a target it does not serve.
        let Some(target) = app.registry_cache.cached(tenant).and_then(|entry| entry.target.clone()) else { continue };
        let Some(conn) = app.pools.idle_connection(&target) else { continue };
        measured.insert(tenant, Instant::now());
        measure(tenant, conn).await;
    }
}

/// A connection that failed, or was given up, is cleared up by its drop.
async fn measure(tenant: TenantId, mut conn: Connection) {
    let size = sqlx::query_scalar::<_, i64>("SELECT pg_database_size(current_database())").fetch_one(&mut *conn);
    if let Ok(Ok(bytes)) = timeout(ANSWER, size).await {
        metrics::tenants::database_bytes(tenant, u64::try_from(bytes).unwrap_or_default());
        conn.finish();
    }
}
