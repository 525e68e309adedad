//! Tenants as the API reads them: all of them, those changed since a point, or one.
//!
//! Must not fail on the content of a row: one school's damaged row must not stop the others from being read.

use std::time::Duration;

use domain::names::{DatabaseName, ServerName, TenantId};
use futures::{Stream, StreamExt as _};
use postgres::error::Doing as _;
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{AssertSqlSafe, PgExecutor, Row as _};
use uuid::Uuid;

use super::route::{Authorities, COLUMNS, Route, read_route_with, read_sealed};
use super::seal::Sealed;
use super::{Result, with_connection_within};

/// The channel on which every write of a tenant is announced once it is committed; the payload is the tenant's id.
pub const CHANNEL: &str = "tenants";

/// The identity of a run of change numbers: a number means nothing in another history. The registry gets a new one by whatever can take it back in time: a
/// restored database, a restored or promoted server, a table that was emptied or written anew. A plain restart of the server looks the same from outside and
/// counts too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History(pub i64);

/// A point in the registry's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Whose change number it is.
    pub history: History,
    /// The change number; `i64::MIN` before the first.
    pub change_seq: i64,
}

impl Position {
    /// Whether a registry that is here now has forgotten nothing of what it said at `earlier`.
    #[must_use]
    pub fn continues(self, earlier: Self) -> bool {
        self.history == earlier.history && self.change_seq >= earlier.change_seq
    }
}

/// What one statement reads: a tenant, if there is one, and where the registry was at that moment.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The last write of any tenant.
    pub newest: Position,
    /// The tenant. None when no tenant fits.
    pub tenant: Option<TenantRow>,
}

/// What a tenant's row holds.
#[derive(Clone, Debug)]
pub struct TenantRow {
    /// The tenant.
    pub tenant: TenantId,
    /// The school's code.
    pub code: String,
    /// The school's name.
    pub name: String,
    /// The tenant state, as the registry's word: a word that this program does not know must not fail the read.
    pub state: String,
    /// The server it was placed on.
    pub server: Option<ServerName>,
    /// Its database.
    pub database: Option<DatabaseName>,
    /// Where its database is; none until everything of it is known.
    pub route: Option<Route>,
    /// The login's credentials.
    pub sealed: Option<Sealed>,
    /// The schema version of its database.
    pub schema_version: Option<u32>,
    /// Grows with every change of route, state or credentials.
    pub epoch: i64,
    /// Grows with every write of any tenant, in commit order, within one [`History`].
    pub change_seq: i64,
}

const DOING: &str = "reading tenants";

/// Tenants written after `change_seq`, in the order of their commits: a reader that continues from the last one it read misses nothing, as long as the registry
/// [continues](Position::continues). Yields at least one reading.
pub fn after<'a>(executor: impl PgExecutor<'a> + 'a, change_seq: i64) -> impl Stream<Item = Result<Reading>> + 'a {
    let query = sqlx::query(AssertSqlSafe(select("t.change_seq > $1"))).bind(change_seq);
    let mut authorities = Authorities::new();
    query.fetch(executor).map(move |row| Reading::read(&row.doing(DOING)?, &mut authorities))
}

/// These tenants, in the order of their commits. At least one reading.
///
/// # Errors
/// When the registry fails.
pub async fn these(executor: impl PgExecutor<'_>, tenants: &[TenantId]) -> Result<Vec<Reading>> {
    let query = sqlx::query(AssertSqlSafe(select("t.id = ANY ($1)"))).bind(uuids(tenants));
    let rows = query.fetch_all(executor).await.doing(DOING)?;
    let mut authorities = Authorities::new();
    rows.iter().map(|row| Reading::read(row, &mut authorities)).collect()
}

/// Which of these tenants have no row: a person removed it.
///
/// # Errors
/// When the registry fails.
pub async fn missing(executor: impl PgExecutor<'_>, tenants: &[TenantId]) -> Result<Vec<TenantId>> {
    let select = "SELECT id FROM unnest($1) AS cached (id) WHERE NOT EXISTS (SELECT FROM registry.tenants t WHERE t.id = cached.id)";
    let ids: Vec<Uuid> = sqlx::query_scalar(select).bind(uuids(tenants)).fetch_all(executor).await.doing(DOING)?;
    Ok(ids.into_iter().map(TenantId).collect())
}

/// Reads one tenant on a connection of the pool, within `limit`.
///
/// # Errors
/// When the registry fails or does not answer in time.
pub async fn find(pool: &PgPool, tenant: TenantId, limit: Duration) -> Result<Reading> {
    let query = sqlx::query(AssertSqlSafe(select("t.id = $1"))).bind(tenant.0);
    let row = with_connection_within(limit, pool, "reading a tenant", async |conn| query.fetch_one(conn).await).await?;
    Reading::read(&row, &mut Authorities::new())
}

/// One statement for both, because two may reach two servers. Of a server, nothing but a restart takes data back, except SQL that rewrites or empties the table
/// or deletes its last rows. Which system the server is would say nothing more, and some hosted ones do not tell. An authority's certificates are in the first row
/// that refers to them.
fn select(which: &str) -> String {
    format!(
        "WITH registry AS MATERIALIZED (\
           SELECT hashtextextended(concat_ws('/', extract(epoch FROM pg_postmaster_start_time()), \
                    (SELECT oid FROM pg_database WHERE datname = current_database()), pg_relation_filenode('registry.tenants')), 0) AS history, \
                  (SELECT max(change_seq) FROM registry.tenants) AS newest) \
         SELECT registry.history, registry.newest, {COLUMNS}, t.change_seq, \
                CASE WHEN t.tls_authority IS NULL THEN t.tls_ca \
                     WHEN row_number() OVER (PARTITION BY t.tls_authority ORDER BY t.change_seq) = 1 THEN a.certificates END AS tls_ca \
         FROM registry LEFT JOIN registry.tenants t ON {which} LEFT JOIN registry.authorities a ON a.digest = t.tls_authority ORDER BY t.change_seq"
    )
}

fn uuids(tenants: &[TenantId]) -> Vec<Uuid> {
    tenants.iter().map(|tenant| tenant.0).collect()
}

impl Reading {
    fn read(row: &PgRow, authorities: &mut Authorities) -> Result<Self> {
        let newest: Option<i64> = row.try_get("newest").doing(DOING)?;
        let newest = Position { history: History(row.try_get("history").doing(DOING)?), change_seq: newest.unwrap_or(i64::MIN) };
        let found: Option<Uuid> = row.try_get("id").doing(DOING)?;
        Ok(Self { newest, tenant: found.map(|_| TenantRow::read(row, authorities)).transpose()? })
    }
}

impl TenantRow {
    fn read(row: &PgRow, authorities: &mut Authorities) -> Result<Self> {
        let text = |column| row.try_get::<Option<String>, _>(column).doing(DOING);
        let version: Option<i32> = row.try_get("schema_version").doing(DOING)?;
        Ok(Self {
            tenant: TenantId(row.try_get("id").doing(DOING)?),
            code: row.try_get("code").doing(DOING)?,
            name: row.try_get("name").doing(DOING)?,
            state: row.try_get("state").doing(DOING)?,
            server: text("server")?.and_then(|server| ServerName::parse(&server).ok()),
            database: text("database_name")?.and_then(|database| DatabaseName::parse(&database).ok()),
            route: read_route_with(row, authorities)?,
            sealed: read_sealed(row).doing(DOING)?,
            schema_version: version.and_then(|version| version.try_into().ok()),
            epoch: row.try_get("epoch").doing(DOING)?,
            change_seq: row.try_get("change_seq").doing(DOING)?,
        })
    }
}
