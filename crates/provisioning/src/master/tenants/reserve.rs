//! Reserving a school's code and names in the registry, before anything of the school exists.
//!
//! Must not take a code from another School: the registry's unique indexes decide who has it.

use domain::names::{DatabaseName, LoginName, SchoolCode, ServerName};
use domain::tenant::Profile;
use postgres::error::Doing as _;
use registry::with_connection;
use sqlx::Row as _;
use sqlx::postgres::PgPool;

use super::observe::CodeHolder;
use crate::master::{Error, Result, TenantRef};

/// What a School asks the registry to keep for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The tenant to be made, and its School.
    pub tenant: TenantRef,
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
    OfAnother(CodeHolder),
}

/// Reserves a code, in state `provisioning`. Repeating a reservation of ours changes nothing.
///
/// # Errors
/// When the registry fails, or [`Error::Moved`] when the holder vanished meanwhile.
pub async fn reserve(pool: &PgPool, reservation: &Reservation) -> Result<Reserved> {
    let doing = "reserving a school's code";
    let inserted = with_connection(pool, doing, async |conn| insert(reservation).execute(conn).await).await?;
    if inserted.rows_affected() == 1 {
        return Ok(Reserved::Ours);
    }
    // A separate statement, because the first one's snapshot may be older than the row that it conflicted with.
    let conflicting = "
        SELECT id, school_namespace, school_name, id = $1 AND school_uid = $2 AND cluster_uid = $3 AS ours FROM registry.tenants
        WHERE id = $1 OR (NOT is_deleted AND (code = $4 OR (server, database_name) = ($5, $6)))
            OR (state NOT IN ('deleted', 'retained') AND (school_uid, cluster_uid) = ($2, $3))
        ORDER BY ours DESC NULLS LAST LIMIT 1";
    let TenantRef { id, school, cluster } = reservation.tenant;
    let query = sqlx::query(conflicting).bind(id.0).bind(school.0).bind(cluster.0).bind(reservation.code.as_str());
    let query = query.bind(reservation.server.as_str()).bind(reservation.database.as_str());
    let row = with_connection(pool, doing, async |conn| query.fetch_optional(conn).await).await?;
    let row = row.ok_or(Error::Moved)?;
    let ours: Option<bool> = row.try_get("ours").doing(doing)?;
    if ours == Some(true) { Ok(Reserved::Ours) } else { Ok(Reserved::OfAnother(CodeHolder::read(&row)?)) }
}

fn insert(reservation: &Reservation) -> sqlx::query::Query<'_, sqlx::Postgres, sqlx::postgres::PgArguments> {
    let Reservation { tenant, namespace, name, code, profile, server, database, login } = reservation;
    let insert = "
        INSERT INTO registry.tenants
            (id, school_uid, cluster_uid, school_namespace, school_name, code, name, email, phone_number, server, database_name, login)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING";
    let query = sqlx::query(insert).bind(tenant.id.0).bind(tenant.school.0).bind(tenant.cluster.0).bind(namespace).bind(name);
    let query = query.bind(code.as_str()).bind(&profile.name).bind(&profile.email).bind(&profile.phone_number);
    query.bind(server.as_str()).bind(database.as_str()).bind(login.as_str())
}
