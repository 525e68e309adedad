//! What a server is, and what the admin may do on it. Changes nothing.
//!
//! Must not judge whether the server is fit.

use domain::server::identity::ServerIdentity;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::{Error, MARKER, Result, marker, send};

/// The oldest `server_version_num` that is supported: `STRATEGY WAL_LOG` came with 15.
pub const OLDEST_VERSION: i32 = 150_000;

/// A server's identity and limits, as it reports them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `server_version_num`: 180006 is 18.6.
    pub version_num: i32,
    /// `server_version`, such as `18.6`.
    pub version: String,
    /// The number that `initdb` gave the cluster and its replicas, as far as the server tells it, and its marker.
    pub of_server: ServerIdentity,
    /// What the session's role may do.
    pub rights: Rights,
    /// Connections for everybody but superusers: `max_connections` without the reserved ones.
    pub max_connections: i32,
    /// A replica, or set to refuse writes.
    pub read_only: bool,
}

/// What the admin's role may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "PostgreSQL's role attributes, each on its own")]
pub struct Rights {
    /// SUPERUSER.
    pub superuser: bool,
    /// CREATEDB.
    pub create_db: bool,
    /// CREATEROLE.
    pub create_role: bool,
    /// May end anybody's session; without it only sessions of roles that it made.
    pub signal_backend: bool,
}

impl Rights {
    /// These rights are enough for everything that is done on a tenant server.
    #[must_use]
    pub fn suffice(self) -> bool {
        self.superuser || (self.create_db && self.create_role)
    }
}

/// Reads a server's identity; needs no special right.
///
/// # Errors
/// When it does not answer.
pub async fn identify(conn: &mut PgConnection) -> Result<Identity> {
    let doing = "reading the server's identity";
    let system = system_identifier(conn).await?;
    let query = format!(
        "SELECT current_setting('server_version_num')::int AS version_num, current_setting('server_version') AS version,
            (SELECT {} FROM pg_roles r WHERE r.rolname = '{MARKER}') AS marker,
            rolsuper, rolcreatedb, rolcreaterole, pg_has_role('pg_signal_backend', 'USAGE') AS signal_backend,
            current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
                - coalesce(current_setting('reserved_connections', true)::int, 0) AS max_connections,
            pg_is_in_recovery() OR current_setting('transaction_read_only')::bool AS read_only
        FROM pg_roles WHERE rolname = current_user",
        marker::READ
    );
    let read = async {
        let row = sqlx::query(AssertSqlSafe(query)).fetch_one(conn).await?;
        Ok(Identity {
            version_num: row.try_get("version_num")?,
            version: row.try_get("version")?,
            of_server: ServerIdentity { system: system.clone(), marker: row.try_get("marker")? },
            rights: Rights {
                superuser: row.try_get("rolsuper")?,
                create_db: row.try_get("rolcreatedb")?,
                create_role: row.try_get("rolcreaterole")?,
                signal_backend: row.try_get("signal_backend")?,
            },
            max_connections: row.try_get("max_connections")?,
            read_only: row.try_get("read_only")?,
        })
    };
    send::answer(doing, read).await
}

/// How a server refuses a function: to this role, because it is not there, or because the host allows it to nobody.
const REFUSALS: [&str; 3] = ["42501", "42883", "0A000"];

/// The system identifier; none where the function that tells it is refused. It is not called where that is known before, because each refusal is an error in the
/// server's log.
async fn system_identifier(conn: &mut PgConnection) -> Result<Option<String>> {
    let doing = "reading the system identifier";
    let callable = "SELECT coalesce(has_function_privilege(to_regprocedure('pg_catalog.pg_control_system()'), 'EXECUTE'), false)";
    if !send::answer(doing, sqlx::query_scalar::<_, bool>(callable).fetch_one(&mut *conn)).await? {
        return Ok(None);
    }
    let query = "SELECT system_identifier::text FROM pg_control_system()";
    match send::answer(doing, sqlx::query_scalar(query).fetch_one(conn)).await {
        Err(Error::Sql(error)) if error.sqlstate().is_some_and(|code| REFUSALS.contains(&code.as_str())) => Ok(None),
        answered => answered,
    }
}
