//! Accounts that the operator makes: a school's first administrator, and the platform's staff. The API makes every other account.
//!
//! Must not see a password: callers bring its hash.

use domain::names::{ResetRequest, SchoolCode};
use domain::tenant::Person;
use postgres::error::Doing as _;
use registry::with_connection;
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{Connection as _, Row as _};
use uuid::Uuid;

use super::{Result, TenantRef};

/// A school's first administrator, as the registry knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// The school has an administrator.
    Made,
    /// It has none, and somebody else has the e-mail address.
    EmailTaken,
    /// It has none.
    Absent,
}

/// What creating an administrator did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// The account was made, with a password that must be changed.
    Made,
    /// The school has an administrator already; nothing was written.
    Already,
    /// The e-mail address belongs to another account; nothing was written.
    EmailTaken,
    /// There is no such tenant of this School; nothing was written.
    NotOurs,
}

/// Makes a school's first administrator. `hash` is the temporary password's, in PHC form.
///
/// # Errors
/// When the registry fails.
pub async fn create_admin(pool: &PgPool, tenant: TenantRef, person: &Person, hash: &str) -> Result<Creation> {
    let doing = "creating a school's administrator";
    let insert = "
        WITH ours AS (SELECT id FROM registry.tenants WHERE id = $1 AND school_uid = $2 AND cluster_uid = $3 AND NOT is_deleted),
        made AS (
            INSERT INTO registry.users (tenant_id, name, email, password_hash, role, must_change_password)
            SELECT id, $4, $5, $6, 'SchoolAdmin', true FROM ours
            WHERE NOT EXISTS (SELECT FROM registry.users WHERE tenant_id = $1 AND role = 'SchoolAdmin' AND NOT is_deleted)
            ON CONFLICT DO NOTHING RETURNING id)
        SELECT EXISTS (SELECT FROM ours) AS ours, EXISTS (SELECT FROM made) AS made";
    let query = sqlx::query(insert).bind(tenant.id.0).bind(tenant.school.0).bind(tenant.cluster.0);
    let query = query.bind(&person.name).bind(&person.email).bind(hash);
    let row = with_connection(pool, doing, async |conn| query.fetch_one(conn).await).await?;
    if !row.try_get::<bool, _>("ours").doing(doing)? {
        return Ok(Creation::NotOurs);
    }
    if row.try_get::<bool, _>("made").doing(doing)? {
        return Ok(Creation::Made);
    }
    // A separate statement, because the first one's snapshot may be older than the account that it conflicted with.
    let exists = "SELECT EXISTS (SELECT FROM registry.users WHERE tenant_id = $1 AND role = 'SchoolAdmin' AND NOT is_deleted)";
    let query = sqlx::query_scalar(exists).bind(tenant.id.0);
    let already: bool = with_connection(pool, doing, async |conn| query.fetch_one(conn).await).await?;
    if already { Ok(Creation::Already) } else { Ok(Creation::EmailTaken) }
}

/// Makes an account of the platform's staff and its audit record, in the caller's transaction; none when the e-mail address has an account already. The
/// session must be a member of `dailycare_operator`. `hash` is the temporary password's, in PHC form.
///
/// # Errors
/// When the registry fails.
pub async fn create_platform_admin(conn: &mut PgConnection, person: &Person, hash: &str) -> Result<Option<Uuid>> {
    let insert = "
        WITH made AS (
            INSERT INTO registry.users (name, email, password_hash, role, must_change_password)
            VALUES ($1, $2, $3, 'PlatformAdmin', true) ON CONFLICT DO NOTHING RETURNING id),
        audited AS (
            INSERT INTO registry.access_audit (user_id, action, resource, success)
            SELECT id, 'platform:create_admin', 'dailycare platform-admin', true FROM made)
        SELECT id FROM made";
    let query = sqlx::query_scalar(insert).bind(&person.name).bind(&person.email).bind(hash);
    Ok(query.fetch_optional(conn).await.doing("creating an account of the platform's staff")?)
}

/// Gives an account of the platform's staff a temporary password, ends its sessions and its lock, and writes an audit record; none when no such account has
/// this e-mail address. Otherwise as [`create_platform_admin`].
///
/// # Errors
/// When the registry fails.
pub async fn reset_platform_admin(conn: &mut PgConnection, email: &str, hash: &str) -> Result<Option<Uuid>> {
    let update = "
        WITH done AS (
            UPDATE registry.users SET password_hash = $2, must_change_password = true, failed_logins = 0, locked_until = NULL
            WHERE role = 'PlatformAdmin' AND lower(email) = lower($1) AND NOT is_deleted RETURNING id),
        audited AS (
            INSERT INTO registry.access_audit (user_id, action, resource, success)
            SELECT id, 'platform:reset_password', 'dailycare platform-admin', true FROM done)
        SELECT id FROM done";
    let query = sqlx::query_scalar(update).bind(email).bind(hash);
    Ok(query.fetch_optional(conn).await.doing("resetting a password of the platform's staff")?)
}

/// What resetting the password of a school's administrator did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminReset {
    /// The account has the temporary password.
    Done {
        /// The account.
        id: Uuid,
        /// The e-mail address that its owner signs in with.
        email: String,
    },
    /// No school has this code; nothing was written.
    NoSchool,
    /// The school has no active administrator with this e-mail address, or none at all; nothing was written.
    Nobody,
    /// The school has several active administrators, so many, and none was named; nothing was written.
    Several(usize),
}

/// Gives an administrator of a school a temporary password, ends the account's sessions and its lock, and writes an audit record, in the caller's transaction.
/// Without an e-mail address it is the school's only active administrator. Otherwise as [`create_platform_admin`].
///
/// # Errors
/// When the registry fails.
pub async fn reset_school_admin(conn: &mut PgConnection, code: &SchoolCode, email: Option<&str>, hash: &str) -> Result<AdminReset> {
    let doing = "resetting the password of a school's administrator";
    let school = "SELECT id FROM registry.tenants WHERE code = $1 AND NOT is_deleted";
    let school: Option<Uuid> = sqlx::query_scalar(school).bind(code.as_str()).fetch_optional(&mut *conn).await.doing(doing)?;
    let Some(school) = school else { return Ok(AdminReset::NoSchool) };
    let mut administrators = administrators(conn, school, email).await.doing(doing)?;
    let (id, email) = match (administrators.pop(), administrators.len()) {
        (None, _) => return Ok(AdminReset::Nobody),
        (Some(only), 0) => only,
        (Some(_), others) => return Ok(AdminReset::Several(others + 1)),
    };
    set_temporary(conn, id, hash, "dailycare school-admin").await.doing(doing)?;
    Ok(AdminReset::Done { id, email })
}

/// What acting on a School's request for another password of its administrator did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestedReset {
    /// The account has the temporary password, and the request is recorded.
    Done,
    /// The school has no active administrator with this e-mail address; nothing was written.
    Nobody,
    /// There is no such tenant of this School that is served, or a request was acted on since it was observed; nothing was written.
    Overtaken,
}

/// Does for a School's request what [`reset_school_admin`] does for a person at a terminal, and records the request, in one transaction: so each request is
/// acted on once. `last` is the request that was observed as acted on last: an operator that is late must not set back what another one did meanwhile. `hash` is
/// the temporary password's, in PHC form.
///
/// # Errors
/// When the registry fails.
pub async fn reset_requested(
    pool: &PgPool,
    tenant: TenantRef,
    request: &ResetRequest,
    last: Option<&str>,
    email: &str,
    hash: &str,
) -> Result<RequestedReset> {
    let doing = "resetting the password of a school's administrator";
    let reset = async |conn: &mut PgConnection| {
        let mut transaction = conn.begin().await?;
        // The write comes first: writers of tenants take turns before they lock a row.
        let record = "UPDATE registry.tenants SET admin_reset = $4
            WHERE id = $1 AND school_uid = $2 AND cluster_uid = $3 AND state = 'active' AND admin_reset IS NOT DISTINCT FROM $5";
        let query = sqlx::query(record).bind(tenant.id.0).bind(tenant.school.0).bind(tenant.cluster.0).bind(request.as_str());
        if query.bind(last).execute(&mut *transaction).await?.rows_affected() == 0 {
            return Ok(RequestedReset::Overtaken);
        }
        let Some((id, _)) = administrators(&mut transaction, tenant.id.0, Some(email)).await?.pop() else {
            return Ok(RequestedReset::Nobody);
        };
        set_temporary(&mut transaction, id, hash, ResetRequest::ANNOTATION).await?;
        transaction.commit().await?;
        Ok(RequestedReset::Done)
    };
    Ok(with_connection(pool, doing, reset).await?)
}

/// A school's active administrators, all of them or the one with this e-mail address, locked until the transaction ends.
async fn administrators(conn: &mut PgConnection, school: Uuid, email: Option<&str>) -> sqlx::Result<Vec<(Uuid, String)>> {
    let select = "
        SELECT id, email FROM registry.users WHERE tenant_id = $1 AND role = 'SchoolAdmin' AND is_active AND NOT is_deleted
            AND ($2::text IS NULL OR lower(email) = lower($2)) ORDER BY id FOR UPDATE";
    sqlx::query_as(select).bind(school).bind(email).fetch_all(conn).await
}

/// Gives a school's administrator a temporary password, ends the account's sessions and its lock, and writes an audit record that says at whose request.
async fn set_temporary(conn: &mut PgConnection, id: Uuid, hash: &str, requester: &str) -> sqlx::Result<()> {
    let update = "
        WITH done AS (
            UPDATE registry.users SET password_hash = $2, must_change_password = true, failed_logins = 0, locked_until = NULL
            WHERE id = $1 RETURNING id, tenant_id)
        INSERT INTO registry.access_audit (tenant_id, user_id, action, resource, success)
        SELECT tenant_id, id, 'platform:reset_school_admin', $3, true FROM done";
    sqlx::query(update).bind(id).bind(hash).bind(requester).execute(conn).await.map(drop)
}

/// Closes an account of the platform's staff, erases what is personal in it but the name, and writes an audit record; none when no such account has this
/// e-mail address. Otherwise as [`create_platform_admin`].
///
/// # Errors
/// When the registry fails.
pub async fn remove_platform_admin(conn: &mut PgConnection, email: &str) -> Result<Option<Uuid>> {
    let update = "
        WITH account AS MATERIALIZED (
            SELECT id FROM registry.users WHERE role = 'PlatformAdmin' AND lower(email) = lower($1) AND NOT is_deleted),
        done AS MATERIALIZED (SELECT id FROM account WHERE registry.erase_accounts(ARRAY[id]) = 1),
        audited AS (
            INSERT INTO registry.access_audit (user_id, action, resource, success)
            SELECT id, 'platform:remove_admin', 'dailycare platform-admin', true FROM done)
        SELECT id FROM done";
    Ok(sqlx::query_scalar(update).bind(email).fetch_optional(conn).await.doing("closing an account of the platform's staff")?)
}
