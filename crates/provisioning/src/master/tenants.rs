//! Tenants: reserving a code, looking, publishing a route, withdrawing it.
//!
//! Every write holds its precondition (the row's School and cluster) in its WHERE clause, and writes nothing when nothing would change.

use domain::names::{ClusterUid, DatabaseName, LoginName, SchoolCode, ServerName, TenantId};
use domain::school::observed::ObservedTenant;
use domain::tenant::{Profile, TenantState};
use postgres::error::Doing as _;
use registry::ask;
use registry::route::{COLUMNS, Route, read_sealed};
use registry::seal::Sealed;
use sqlx::postgres::{PgConnection, PgPool, PgRow};
use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;

use super::keyring::Keyring;
use super::row::{Publication, Row, state_label, tls_columns};
use super::users::Account;
use super::{Error, Owner, Result};

/// What a School asks the registry to keep for it before anything of it exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// Whose.
    pub owner: Owner,
    /// The School's namespace, for people who look for a code's holder.
    pub namespace: String,
    /// The School's name.
    pub name: String,
    /// The code; the registry's unique index decides who has it.
    pub code: SchoolCode,
    /// Name and contact.
    pub profile: Profile,
    /// Where the database will be, so that placement counts it.
    pub server: ServerName,
    /// Its name, unique on its server.
    pub database: DatabaseName,
    /// Its login.
    pub login: LoginName,
}

/// Who has a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// The asking School, from now on or since before.
    Ours,
    /// Another.
    OfAnother(Holder),
}

/// The tenant that holds a code (or a name that must be unique), and the School behind it as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The tenant.
    pub tenant: TenantId,
    /// Its School's namespace.
    pub namespace: Option<String>,
    /// Its School's name.
    pub name: Option<String>,
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The row was changed.
    Made,
    /// It said so already; nothing was written.
    Unneeded,
    /// There is no such row of this School, or it is deleted; nothing was written.
    NotOurs,
}

/// Reserves a code, in state `provisioning`. Asking again for what is ours changes nothing.
///
/// # Errors
/// When the registry fails, or [`Error::Moved`] when the holder vanished meanwhile.
pub async fn reserve(pool: &PgPool, wanted: &Reservation) -> Result<Reserved> {
    let doing = "reserving a school's code";
    let inserted = ask(pool, doing, async |conn| bind_reservation(INSERT, wanted).execute(conn).await).await?;
    if inserted.rows_affected() == 1 {
        return Ok(Reserved::Ours);
    }
    // A statement of its own, because the first one's snapshot may be older than the row that stood in its way.
    let standing = "
        SELECT id, school_namespace, school_name, id = $1 AND school_uid = $2 AND cluster_uid = $3 AS ours FROM registry.tenants
        WHERE id = $1 OR (NOT is_deleted AND (code = $4 OR (server, database_name) = ($5, $6)))
            OR (state NOT IN ('deleted', 'retained') AND (school_uid, cluster_uid) = ($2, $3))
        ORDER BY ours DESC NULLS LAST LIMIT 1";
    let Owner { tenant, school, cluster } = wanted.owner;
    let query = sqlx::query(standing).bind(tenant.0).bind(school.0).bind(cluster.0).bind(wanted.code.as_str());
    let query = query.bind(wanted.server.as_str()).bind(wanted.database.as_str());
    let row = ask(pool, doing, async |conn| query.fetch_optional(conn).await).await?;
    let row = row.ok_or(Error::Moved)?;
    let ours: Option<bool> = row.try_get("ours").doing(doing)?;
    if ours == Some(true) { Ok(Reserved::Ours) } else { Ok(Reserved::OfAnother(Holder::read(&row)?)) }
}

const INSERT: &str = "
    INSERT INTO registry.tenants
        (id, school_uid, cluster_uid, school_namespace, school_name, code, name, email, phone_number, server, database_name, login)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING";

fn bind_reservation<'a>(
    insert: &'static str,
    wanted: &'a Reservation,
) -> sqlx::query::Query<'a, sqlx::Postgres, sqlx::postgres::PgArguments> {
    let Reservation { owner, namespace, name, code, profile, server, database, login } = wanted;
    let query = sqlx::query(insert).bind(owner.tenant.0).bind(owner.school.0).bind(owner.cluster.0).bind(namespace).bind(name);
    let query = query.bind(code.as_str()).bind(&profile.name).bind(&profile.email).bind(&profile.phone_number);
    query.bind(server.as_str()).bind(database.as_str()).bind(login.as_str())
}

impl Holder {
    fn read(row: &PgRow) -> Result<Self> {
        let doing = "reading who holds a school's code";
        let id: Uuid = row.try_get("id").doing(doing)?;
        let (namespace, name) = (row.try_get("school_namespace").doing(doing)?, row.try_get("school_name").doing(doing)?);
        Ok(Self { tenant: TenantId(id), namespace, name })
    }
}

/// Everything the registry knows about one School, from one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The row of the tenant.
    pub row: Option<Row>,
    /// Who holds the code.
    pub holder: Option<Holder>,
    /// The first administrator's account.
    pub admin: Account,
}

impl Observed {
    /// What the planner sees of it; `current` says whether our row is what it should be (see [`Row::says`]).
    #[must_use]
    pub fn tenant(&self, owner: Owner, current: impl FnOnce(&Row) -> bool) -> ObservedTenant {
        match (&self.row, &self.holder) {
            (Some(row), _) if row.is_of(owner) => ObservedTenant::Ours { state: row.state, current: current(row) },
            (None, None) => ObservedTenant::Absent,
            (Some(_), _) | (None, Some(_)) => ObservedTenant::OfAnother,
        }
    }
}

/// Looks, in one round trip. Without a code nobody is said to hold it, and without an e-mail address it is not said to be taken: a School on its way out
/// needs neither.
///
/// # Errors
/// When the registry fails, or the row's state is one this program does not know.
pub async fn observe(pool: &PgPool, tenant: TenantId, code: Option<&SchoolCode>, admin_email: Option<&str>) -> Result<Observed> {
    let doing = "looking a school up in the registry";
    let look = format!(
        "SELECT {COLUMNS}, t.id IS NOT NULL AS known, holder.id AS holder, holder.school_namespace, holder.school_name,
             EXISTS (SELECT FROM registry.users WHERE tenant_id = $1 AND role = 'SchoolAdmin' AND NOT is_deleted) AS admin_made,
             EXISTS (SELECT FROM registry.users WHERE lower(email) = lower($3) AND NOT is_deleted) AS email_taken
         FROM (SELECT) AS always
         LEFT JOIN registry.tenants t ON t.id = $1
         LEFT JOIN registry.tenants holder ON holder.code = $2 AND NOT holder.is_deleted"
    );
    let query = sqlx::query(AssertSqlSafe(look)).bind(tenant.0).bind(code.map(SchoolCode::as_str)).bind(admin_email);
    let row = ask(pool, doing, async |conn| query.fetch_one(conn).await).await?;
    let flag = |column| row.try_get::<bool, _>(column).doing(doing);
    let text = |column| row.try_get::<Option<String>, _>(column).doing(doing);
    let holder: Option<Uuid> = row.try_get("holder").doing(doing)?;
    let (namespace, name) = (text("school_namespace")?, text("school_name")?);
    Ok(Observed {
        row: if flag("known")? { Some(Row::read(&row)?) } else { None },
        holder: holder.map(|id| Holder { tenant: TenantId(id), namespace, name }),
        admin: match (flag("admin_made")?, flag("email_taken")?) {
            (true, _) => Account::Made,
            (false, true) => Account::EmailTaken,
            (false, false) => Account::Absent,
        },
    })
}

/// Makes our row say all of `wanted`. Credentials that are sealed as they should be stay as they are, byte for byte, so that the API keeps its connections.
///
/// # Errors
/// When the registry or sealing fails.
pub async fn publish(pool: &PgPool, wanted: &Publication, keyring: &Keyring) -> Result<Change> {
    let doing = "publishing a school's route";
    let tenant = wanted.owner.tenant;
    let query = sqlx::query("SELECT credentials, key_id FROM registry.tenants WHERE id = $1").bind(tenant.0);
    // Whose row it is, the write asks.
    let row = ask(pool, doing, async |conn| query.fetch_optional(conn).await).await?;
    let standing = row.map(|row| read_sealed(&row)).transpose().doing(doing)?.flatten();
    let credentials = wanted.credentials();
    let sealed = match standing.filter(|sealed| keyring.is_current(tenant, sealed, &credentials)) {
        Some(current) => current,
        None => keyring.seal(tenant, &credentials).map_err(|source| Error::Seal { tenant, source })?,
    };
    Ok(ask(pool, doing, async |conn| write(conn, wanted, &sealed).await).await?)
}

async fn write(conn: &mut PgConnection, wanted: &Publication, sealed: &Sealed) -> Result<Change, sqlx::Error> {
    let Publication { owner, profile, route, password: _, schema_version, state } = wanted;
    let Route { server, endpoint, database, login, pool } = route;
    let (tls, authority) = tls_columns(&endpoint.tls);
    let authority = authority.map(str::from_utf8).transpose().map_err(|error| sqlx::Error::Encode(error.into()))?;
    let columns = "name, email, phone_number, server, host, port, tls_mode, tls_ca, database_name, login, pool_size, connect_timeout_seconds, \
         command_timeout_seconds, pooling, credentials, key_id, schema_version, state";
    let values = "$4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21";
    let update = format!(
        "WITH ours AS (SELECT FROM registry.tenants WHERE {PRECONDITION} AND NOT is_deleted),
         changed AS (
             UPDATE registry.tenants SET ({columns}, is_active, activated_at)
                 = ROW ({values}, $21 = 'active', CASE WHEN $21 = 'active' THEN coalesce(activated_at, now()) ELSE activated_at END)
             WHERE {PRECONDITION} AND NOT is_deleted AND ({columns}) IS DISTINCT FROM ({values}) RETURNING id)
         SELECT EXISTS (SELECT FROM ours), EXISTS (SELECT FROM changed)"
    );
    let query = sqlx::query(AssertSqlSafe(update)).bind(owner.tenant.0).bind(owner.school.0).bind(owner.cluster.0);
    let query = query.bind(&profile.name).bind(&profile.email).bind(&profile.phone_number).bind(server.as_str()).bind(&endpoint.host);
    let query = query.bind(i32::from(endpoint.port)).bind(tls).bind(authority).bind(database.as_str()).bind(login.as_str());
    let query = query.bind(i32::from(pool.size)).bind(i32::from(pool.connect_timeout_seconds));
    let query = query.bind(i32::from(pool.command_timeout_seconds)).bind(pool.pooling).bind(&sealed.bytes).bind(&sealed.key_id);
    let query = query.bind(i32::try_from(*schema_version).unwrap_or(i32::MAX)).bind(state_label(*state));
    changed(&query.fetch_one(conn).await?)
}

/// The row is this School's: parameters 1 to 3 of every write.
const PRECONDITION: &str = "id = $1 AND school_uid = $2 AND cluster_uid = $3";

/// Reads what a write answers: whether the row is ours, and whether it was changed.
fn changed(row: &PgRow) -> Result<Change, sqlx::Error> {
    Ok(match (row.try_get(0)?, row.try_get(1)?) {
        (_, true) => Change::Made,
        (true, false) => Change::Unneeded,
        (false, false) => Change::NotOurs,
    })
}

/// A state in which a tenant does not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawn {
    /// Closed, by wish or on the way out; a publication brings it back.
    Suspended,
    /// The School is gone, the data kept.
    Retained,
    /// School and data are gone: its code is free, its accounts are closed, its credentials erased. For ever.
    Deleted,
}

/// Withdraws a tenant. A deleted one can only be deleted again, which changes nothing.
///
/// # Errors
/// When the registry fails.
pub async fn set_state(pool: &PgPool, owner: Owner, to: Withdrawn) -> Result<Change> {
    let (state, statement) = match to {
        Withdrawn::Suspended => (TenantState::Suspended, CLOSE),
        Withdrawn::Retained => (TenantState::Retained, CLOSE),
        Withdrawn::Deleted => (TenantState::Deleted, DELETE),
    };
    let query = sqlx::query(statement).bind(owner.tenant.0).bind(owner.school.0).bind(owner.cluster.0).bind(state_label(state));
    Ok(ask(pool, "withdrawing a school from the registry", async |conn| changed(&query.fetch_one(conn).await?)).await?)
}

const CLOSE: &str = "
    WITH ours AS (SELECT FROM registry.tenants WHERE id = $1 AND school_uid = $2 AND cluster_uid = $3 AND NOT is_deleted),
    changed AS (
        UPDATE registry.tenants SET state = $4, is_active = false
        WHERE id = $1 AND school_uid = $2 AND cluster_uid = $3 AND NOT is_deleted AND state <> $4 RETURNING id)
    SELECT EXISTS (SELECT FROM ours), EXISTS (SELECT FROM changed)";

const DELETE: &str = "
    WITH ours AS (SELECT id FROM registry.tenants WHERE id = $1 AND school_uid = $2 AND cluster_uid = $3),
    changed AS (
        UPDATE registry.tenants SET state = $4, is_active = false, is_deleted = true, credentials = NULL, key_id = NULL
        WHERE id = $1 AND school_uid = $2 AND cluster_uid = $3 AND state <> $4 RETURNING id),
    closed AS (
        UPDATE registry.users SET is_deleted = true, is_active = false
        WHERE tenant_id IN (SELECT id FROM ours) AND NOT is_deleted RETURNING id)
    SELECT EXISTS (SELECT FROM ours), EXISTS (SELECT FROM changed) OR EXISTS (SELECT FROM closed)";

/// Which server each tenant of this cluster is on or reserved for, for placement to count.
///
/// # Errors
/// When the registry fails.
pub async fn occupancy(pool: &PgPool, cluster: ClusterUid) -> Result<Vec<(TenantId, ServerName)>> {
    let doing = "counting the schools on each server";
    let select = "SELECT id, server FROM registry.tenants WHERE cluster_uid = $1 AND server IS NOT NULL AND NOT is_deleted";
    let rows = ask(pool, doing, async |conn| sqlx::query(select).bind(cluster.0).fetch_all(conn).await).await?;
    rows.iter().map(|row| read_occupant(row, doing)).collect()
}

fn read_occupant(row: &PgRow, doing: &'static str) -> Result<(TenantId, ServerName)> {
    let tenant = TenantId(row.try_get("id").doing(doing)?);
    let server: &str = row.try_get("server").doing(doing)?;
    let server = ServerName::parse(server).map_err(|_| Error::Unknown { tenant, column: "server" })?;
    Ok((tenant, server))
}
