//! Connection settings. Every session pins in its startup packet what a database or role could otherwise set against us (`search_path`, time-outs), because
//! startup options outrank `ALTER DATABASE … SET` and `ALTER ROLE … SET`. Everything that
//! matters is set here, so that `PG*` variables cannot weaken it; `~/.pgpass` is not read.
//!
//! Must not keep connections: pools belong to the callers.

use std::sync::Arc;
use std::time::Duration;

use domain::server::TlsMode;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _};

use super::error::{Doing as _, Error, Result};

/// Where a server listens and how it proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// DNS name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Transport security.
    pub tls: Tls,
}

/// Transport security, in libpq's words. There is no `prefer`: what is asked for is required. A provider's list of authorities has some 170 KB, so everybody
/// shares one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Plain text.
    Disable,
    /// Encrypted, the server's certificate unchecked.
    Require,
    /// Encrypted, certificate signed by this authority (PEM).
    VerifyCa(Arc<[u8]>),
    /// Encrypted, certificate signed by this authority (PEM) for the host's name.
    VerifyFull(Arc<[u8]>),
}

impl From<&Tls> for TlsMode {
    fn from(tls: &Tls) -> Self {
        match tls {
            Tls::Disable => Self::Disable,
            Tls::Require => Self::Require,
            Tls::VerifyCa(_) => Self::VerifyCa,
            Tls::VerifyFull(_) => Self::VerifyFull,
        }
    }
}

/// A login and its password.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The role.
    pub username: String,
    /// Its password; never shown.
    pub password: SecretString,
}

/// What a session is for; decides its pinned settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Catalog queries and DDL as the server's admin.
    Operator,
    /// Migrations as `dailycare_migrator` in one tenant's database.
    Migrator,
    /// The registry in the master database.
    Registry,
    /// A school's requests, as the school's own login in its own database.
    School,
}

/// How long a session of the operator may be idle before the server ends it. Longer than its pools keep one.
pub const IDLE_LIMIT: &str = "3min";

/// Time to connect and log in.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

impl Purpose {
    /// Pinned settings. `DROP DATABASE` and `CREATE DATABASE` raise `statement_timeout` where they run: interrupting them leaves debris.
    fn settings(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let (search_path, statement_timeout) = match self {
            Self::Operator => ("pg_catalog,pg_temp", "30s"),
            // Migrations may rewrite a large table; what must stay short is waiting for locks.
            Self::Migrator => ("pg_catalog,app,pg_temp", "10min"),
            Self::Registry => ("pg_catalog,registry,pg_temp", "10s"),
            // The tenant's own command timeout takes its place.
            Self::School => ("pg_catalog,app,pg_temp", "60s"),
        };
        // Advisory locks of a process that is frozen, or whose machine is gone without a word, must not hold up its successor. Where such sessions are never
        // idle on purpose: a listener is.
        let idle = matches!(self, Self::Operator | Self::Migrator).then_some(("idle_session_timeout", IDLE_LIMIT));
        let pinned = [
            ("search_path", search_path),
            ("statement_timeout", statement_timeout),
            ("lock_timeout", "5s"),
            ("idle_in_transaction_session_timeout", "30s"),
            // Reads under a lock must happen after the lock is held.
            ("default_transaction_isolation", "read committed"),
            ("client_connection_check_interval", "10s"),
            ("tcp_keepalives_idle", "10"),
            ("tcp_keepalives_interval", "5"),
            ("tcp_keepalives_count", "3"),
            ("tcp_user_timeout", "25s"),
            ("standard_conforming_strings", "on"),
            ("row_security", "on"),
        ];
        // Not `default_transaction_read_only`: a host sets it before the disk is full, and everybody must respect it.
        pinned.into_iter().chain(idle)
    }

    fn application_name(self) -> &'static str {
        match self {
            Self::Operator => "dailycare-operator",
            Self::Migrator => "dailycare-migrator",
            Self::Registry => "dailycare-registry",
            Self::School => "dailycare-api",
        }
    }
}

/// The settings of a session; use them for single connections and pools alike.
#[must_use]
pub fn options(endpoint: &Endpoint, credentials: &Credentials, database: &str, purpose: Purpose) -> PgConnectOptions {
    let options = PgConnectOptions::new_without_pgpass()
        .host(&endpoint.host)
        .port(endpoint.port)
        .username(&credentials.username)
        .password(credentials.password.expose_secret())
        .database(database)
        .application_name(purpose.application_name())
        .options(purpose.settings())
        // Statements hold verifiers; actions are logged by name instead.
        .disable_statement_logging();
    match &endpoint.tls {
        Tls::Disable => options.ssl_mode(PgSslMode::Disable),
        Tls::Require => options.ssl_mode(PgSslMode::Require),
        Tls::VerifyCa(pem) => options.ssl_mode(PgSslMode::VerifyCa).ssl_root_cert_from_pem(pem.to_vec()),
        Tls::VerifyFull(pem) => options.ssl_mode(PgSslMode::VerifyFull).ssl_root_cert_from_pem(pem.to_vec()),
    }
}

/// Whether a session has the settings that its startup packet asked for. Behind a connection pooler it may not, and its advisory locks may be another's.
///
/// # Errors
/// When the server does not answer.
pub async fn has_its_settings(conn: &mut PgConnection, purpose: Purpose) -> Result<bool> {
    let doing = "reading the session's settings";
    for (name, value) in purpose.settings().filter(|(name, _)| SHOWN_AS_SET.contains(name)) {
        let setting = sqlx::query_scalar("SELECT current_setting($1)").bind(name).fetch_one(&mut *conn);
        let found: String = tokio::time::timeout(CONNECT_TIMEOUT, setting).await.map_err(|_| Error::timed_out(doing))?.doing(doing)?;
        if found != value {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Pinned settings that the server shows as they were set, and that differ from its defaults.
const SHOWN_AS_SET: [&str; 2] = ["search_path", "lock_timeout"];

/// One connection, within [`CONNECT_TIMEOUT`].
///
/// # Errors
/// When the server does not answer in time, refuses, or cannot prove who it is.
pub async fn connect(options: &PgConnectOptions, doing: &'static str) -> Result<PgConnection> {
    match tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(options)).await {
        Ok(connected) => connected.doing(doing),
        Err(_) => Err(Error::timed_out(doing)),
    }
}

#[cfg(test)]
mod tests {
    use super::Purpose;

    #[test]
    fn no_session_lifts_a_brake_that_the_server_sets() {
        for purpose in [Purpose::Operator, Purpose::Migrator, Purpose::Registry, Purpose::School] {
            assert!(purpose.settings().all(|(name, _)| !name.contains("read_only")), "{purpose:?}");
        }
    }
}
