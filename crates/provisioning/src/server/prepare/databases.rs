//! Databases that every role may enter, and closing those of them that are the server's own maintenance databases.
//!
//! Must not close a database that is not one of those, and must count as closable only what closing changes.

use postgres::quote::Ident;
use sqlx::FromRow;
use sqlx::postgres::PgConnection;

use crate::server::{MONITOR, OWNER, Result, send};

/// What closing the maintenance databases came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// Databases that PUBLIC had rights on before and has none on now.
    pub closed: Vec<String>,
    /// Databases that stay open.
    pub open: Vec<String>,
}

/// Revokes PUBLIC's rights on the maintenance databases where the admin may, and lets members of [`MONITOR`] connect to them.
///
/// # Errors
/// When the catalog cannot be read or a right cannot be changed.
pub async fn close_maintenance_databases(conn: &mut PgConnection) -> Result<Closing> {
    let doing = "closing the maintenance databases";
    let before = observe(conn).await?;
    for database in before.iter().filter(|database| database.closable()) {
        let name = Ident(&database.name);
        let statements = format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC; GRANT CONNECT ON DATABASE {name} TO {}", Ident(MONITOR));
        send::send(conn, statements, doing).await?;
    }
    let open: Vec<_> = observe(conn).await?.into_iter().filter(|database| database.open).map(|database| database.name).collect();
    let closed = before.into_iter().filter(|database| database.open && !open.contains(&database.name)).map(|database| database.name);
    Ok(Closing { closed: closed.collect(), open })
}

/// A database that is not a tenant's, and who may connect to it.
#[derive(FromRow)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent fact")]
pub(super) struct Admission {
    pub(super) name: String,
    maintenance: bool,
    /// The admin acts as its owner.
    owned: bool,
    /// PUBLIC has a right on it.
    pub(super) open: bool,
    /// The owner gave PUBLIC such a right. What others granted only they can revoke.
    by_owner: bool,
    /// Members of [`MONITOR`] may connect.
    monitored: bool,
}

impl Admission {
    /// Closing changes it.
    pub(super) fn closable(&self) -> bool {
        self.maintenance && self.owned && (self.by_owner || !self.monitored)
    }
}

/// Databases without the tenants': [`crate::server::catalog::observe`] judges those one by one.
pub(super) async fn observe(conn: &mut PgConnection) -> Result<Vec<Admission>> {
    let doing = "observing open databases";
    let query = "SELECT datname::text AS name, datname IN ('postgres', 'template1', current_database()) AS maintenance,
            pg_has_role(datdba, 'USAGE') AS owned, open, by_owner, monitored
        FROM pg_database d, LATERAL (SELECT coalesce(bool_or(grantee = 0), false) AS open, coalesce(bool_or(grantee = 0 AND grantor = datdba), false) AS by_owner,
            coalesce(bool_or(rolname = $2 AND privilege_type = 'CONNECT'), false) AS monitored
            FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) LEFT JOIN pg_roles r ON r.oid = grantee) AS admitted
        WHERE datallowconn AND pg_get_userbyid(datdba) <> $1 ORDER BY 1";
    send::answer(doing, sqlx::query_as(query).bind(OWNER).bind(MONITOR).fetch_all(conn)).await
}
