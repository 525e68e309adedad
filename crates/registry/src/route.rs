//! Where a tenant's database is, read from its row in the registry.
//!
//! Must not hold a password in clear.

use std::collections::HashMap;
use std::sync::Arc;

use domain::names::{DatabaseName, LoginName, ServerName};
use postgres::error::Doing as _;
use postgres::session::{Endpoint, Tls};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::Result;
use super::seal::Sealed;

/// Everything the API needs to reach a tenant's database, without the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The `DatabaseServer`.
    pub server: ServerName,
    /// Where it listens and how it proves who it is.
    pub endpoint: Endpoint,
    /// The database.
    pub database: DatabaseName,
    /// The login.
    pub login: LoginName,
    /// How the API pools connections to it.
    pub pool: PoolSettings,
}

/// The columns that [`read_route`], [`read_sealed`] and their callers read, of a table called `t`, except for the authority's certificates: [`AUTHORITY`].
pub const COLUMNS: &str = "t.id, t.school_uid, t.cluster_uid, t.code, t.name, t.email, t.phone_number, t.state, t.server, t.host, t.port, \
     t.tls_mode, t.tls_authority, t.database_name, t.login, t.pool_size, t.connect_timeout_seconds, t.command_timeout_seconds, t.pooling, t.credentials, t.key_id, \
     t.schema_version, t.epoch";

/// The certificates of a tenant's authority, as the column that [`read_route`] reads of a table called `t`.
pub const AUTHORITY: &str =
    "coalesce((SELECT a.certificates FROM registry.authorities a WHERE a.digest = t.tls_authority), t.tls_ca) AS tls_ca";

/// Authorities by their digests, so that one is read and kept once, however many tenants' servers are verified with it.
pub(crate) type Authorities = HashMap<Vec<u8>, Arc<[u8]>>;

/// How the API pools a tenant's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSettings {
    /// The most connections.
    pub size: u16,
    /// Seconds to connect.
    pub connect_timeout_seconds: u16,
    /// Seconds that a statement may take.
    pub command_timeout_seconds: u16,
    /// Connections are kept for the next request.
    pub pooling: bool,
}

/// Reads a route; none when it is incomplete or holds what this program could not have written. Publishing it again repairs it.
///
/// # Errors
/// When a column cannot be read.
pub fn read_route(row: &PgRow) -> Result<Option<Route>> {
    read_route_with(row, &mut Authorities::new())
}

/// As [`read_route`]. A row may leave out the certificates of an authority that an earlier one had.
pub(crate) fn read_route_with(row: &PgRow, authorities: &mut Authorities) -> Result<Option<Route>> {
    let doing = "reading a tenant's route";
    let digest: Option<Vec<u8>> = row.try_get("tls_authority").doing(doing)?;
    let certificates = || row.try_get::<Option<String>, _>("tls_ca").doing(doing).map(|pem| pem.map(|pem| Arc::from(pem.into_bytes())));
    let authority: Option<Arc<[u8]>> = match digest {
        None => certificates()?,
        Some(digest) => match authorities.get(&digest) {
            Some(known) => Some(Arc::clone(known)),
            None => certificates()?.inspect(|read| drop(authorities.insert(digest, Arc::clone(read)))),
        },
    };
    let text = |column| row.try_get::<Option<String>, _>(column).doing(doing);
    let number = |column| row.try_get::<Option<i32>, _>(column).map(|n| n.and_then(|n| u16::try_from(n).ok())).doing(doing);
    let address = (text("host")?, number("port")?, text("tls_mode")?.and_then(tls_of(authority)));
    let names = (text("server")?, text("database_name")?, text("login")?);
    let limits = (number("pool_size")?, number("connect_timeout_seconds")?, number("command_timeout_seconds")?);
    let pooling = row.try_get("pooling").doing(doing)?;
    let ((Some(host), Some(port), Some(tls)), (Some(server), Some(database), Some(login))) = (address, names) else { return Ok(None) };
    let (Some(size), Some(connect_timeout_seconds), Some(command_timeout_seconds)) = limits else { return Ok(None) };
    let parsed = (ServerName::parse(&server), DatabaseName::parse(&database), LoginName::parse(&login));
    let (Ok(server), Ok(database), Ok(login)) = parsed else { return Ok(None) };
    let pool = PoolSettings { size, connect_timeout_seconds, command_timeout_seconds, pooling };
    Ok(Some(Route { server, endpoint: Endpoint { host, port, tls }, database, login, pool }))
}

/// The login's sealed credentials, if the row has any.
///
/// # Errors
/// When a column cannot be read.
pub fn read_sealed(row: &PgRow) -> Result<Option<Sealed>, sqlx::Error> {
    let (key_id, bytes): (Option<String>, Option<Vec<u8>>) = (row.try_get("key_id")?, row.try_get("credentials")?);
    Ok(key_id.zip(bytes).map(|(key_id, bytes)| Sealed { key_id, bytes }))
}

fn tls_of(authority: Option<Arc<[u8]>>) -> impl FnOnce(String) -> Option<Tls> {
    move |mode| match (mode.as_str(), authority) {
        ("disable", None) => Some(Tls::Disable),
        ("require", None) => Some(Tls::Require),
        ("verify-ca", Some(pem)) => Some(Tls::VerifyCa(pem)),
        ("verify-full", Some(pem)) => Some(Tls::VerifyFull(pem)),
        _ => None,
    }
}
