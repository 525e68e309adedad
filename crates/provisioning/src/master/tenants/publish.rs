//! Publishing a school's route: the one write that brings a tenant's row to what its School asks for.
//!
//! Must not write a password in clear, nor a row of another School.

use domain::names::TenantId;
use postgres::error::Doing as _;
use postgres::session::{Credentials, Tls};
use registry::route::{Route, read_sealed};
use registry::seal::Sealed;
use registry::with_connection;
use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnection, PgPool};

use super::Change;
use super::observed_row::state_label;
use super::publication::Publication;
use crate::master::keyring::Keyring;
use crate::master::{Error, Result};

/// Makes the row hold all of `publication`. Credentials that are sealed with the first key and hold the same login and password keep their bytes, so that the
/// API keeps its connections.
///
/// # Errors
/// When the registry or sealing fails.
pub async fn publish(pool: &PgPool, publication: &Publication, keyring: &Keyring) -> Result<Change> {
    let doing = "publishing a school's route";
    let sealed = match publication.credentials() {
        Some(credentials) => Some(seal(pool, publication.tenant.id, &credentials, keyring, doing).await?),
        None => None,
    };
    Ok(with_connection(pool, doing, async |conn| write(conn, publication, sealed.as_ref()).await).await?)
}

/// The credentials' bytes: the row's own while they are current.
async fn seal(pool: &PgPool, tenant: TenantId, credentials: &Credentials, keyring: &Keyring, doing: &'static str) -> Result<Sealed> {
    // Any School's row: the write below checks whose it is.
    let query = sqlx::query("SELECT credentials, key_id FROM registry.tenants WHERE id = $1").bind(tenant.0);
    let row = with_connection(pool, doing, async |conn| query.fetch_optional(conn).await).await?;
    let recorded = row.map(|row| read_sealed(&row)).transpose().doing(doing)?.flatten();
    match recorded.filter(|sealed| keyring.is_current(tenant, sealed, credentials)) {
        Some(current) => Ok(current),
        None => keyring.seal(tenant, credentials).map_err(|source| Error::Seal { tenant, source }),
    }
}

/// The row is this School's: parameters 1 to 3.
const PRECONDITION: &str = "id = $1 AND school_uid = $2 AND cluster_uid = $3";

/// The registry files the authority's certificates once for all tenants that name the same, and keeps their digest in the row.
async fn write(conn: &mut PgConnection, publication: &Publication, sealed: Option<&Sealed>) -> Result<Change, sqlx::Error> {
    let Publication { tenant, profile, route, password: _, schema_version, state } = publication;
    let Route { server, endpoint, database, login, pool } = route;
    let (tls, authority) = tls_columns(&endpoint.tls);
    let authority = authority.map(str::from_utf8).transpose().map_err(|error| sqlx::Error::Encode(error.into()))?;
    let columns = "name, email, phone_number, server, host, port, tls_mode, database_name, login, pool_size, connect_timeout_seconds, \
         command_timeout_seconds, pooling, credentials, key_id, schema_version, state";
    let values = "$4, $5, $6, $7, $8, $9, $10, $12, $13, $14, $15, $16, $17, coalesce($18, credentials), coalesce($19, key_id), $20, $21";
    let update = format!(
        "WITH ours AS (SELECT FROM registry.tenants WHERE {PRECONDITION} AND NOT is_deleted),
         changed AS (
             UPDATE registry.tenants SET ({columns}, tls_ca, is_active, activated_at)
                 = ROW ({values}, $11, $21 = 'active', CASE WHEN $21 = 'active' THEN coalesce(activated_at, now()) ELSE activated_at END)
             WHERE {PRECONDITION} AND NOT is_deleted
                 AND ({columns}, tls_authority) IS DISTINCT FROM ({values}, sha256(convert_to($11::text, 'UTF8'))) RETURNING id)
         SELECT EXISTS (SELECT FROM ours), EXISTS (SELECT FROM changed)"
    );
    let query = sqlx::query(AssertSqlSafe(update)).bind(tenant.id.0).bind(tenant.school.0).bind(tenant.cluster.0);
    let query = query.bind(&profile.name).bind(&profile.email).bind(&profile.phone_number).bind(server.as_str()).bind(&endpoint.host);
    let query = query.bind(i32::from(endpoint.port)).bind(tls).bind(authority).bind(database.as_str()).bind(login.as_str());
    let query = query.bind(i32::from(pool.size)).bind(i32::from(pool.connect_timeout_seconds));
    let query = query.bind(i32::from(pool.command_timeout_seconds)).bind(pool.pooling).bind(sealed.map(|sealed| sealed.bytes.as_slice()));
    let query = query.bind(sealed.map(|sealed| sealed.key_id.as_str()));
    let query = query.bind(i32::try_from(*schema_version).unwrap_or(i32::MAX)).bind(state_label(*state));
    Change::read(&query.fetch_one(conn).await?)
}

/// Transport security as the registry's two columns: libpq's word, and the authority's certificate.
fn tls_columns(tls: &Tls) -> (&'static str, Option<&[u8]>) {
    match tls {
        Tls::Disable => ("disable", None),
        Tls::Require => ("require", None),
        Tls::VerifyCa(pem) => ("verify-ca", Some(pem)),
        Tls::VerifyFull(pem) => ("verify-full", Some(pem)),
    }
}
