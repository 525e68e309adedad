//! Preparing a server: its fixed roles, and maintenance databases that only admins may enter.
//!
//! Reads first and writes only what differs. A role of a fixed name that bears no mark of our cluster is never altered.

use domain::names::ClusterUid;
use postgres::error::Doing as _;
use postgres::quote::{Ident, Literal};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection as _, Row as _};

use super::mark::{Mark as _, RoleMark};
use super::sql::{self, Allowed};
use super::{APP, Error, MIGRATOR, OWNER, Object, Result, scram, send};

/// What the fixed roles are to be.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Whose server this is.
    pub cluster: ClusterUid,
    /// The migrator's password.
    pub password: &'a SecretString,
    /// A keyed fingerprint of it, which is kept in the migrator's mark.
    pub fingerprint: &'a str,
}

/// How a server stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// The fixed roles are as wanted, the migrator's password among them, and the admin may act as the owner.
    pub roles: bool,
    /// Databases other than the tenants' that every role can enter or make temporary tables in.
    pub open_databases: Vec<String>,
    /// Some of them are maintenance databases that the admin may close.
    pub closable: bool,
}

/// Looks, and changes nothing.
///
/// # Errors
/// [`Error::NotOurs`] when a role of a fixed name bears no mark of this cluster.
pub async fn prepared(conn: &mut PgConnection, wanted: &Wanted<'_>) -> Result<Prepared> {
    let roles = read_roles(conn, wanted).await?;
    let open = open_databases(conn).await?;
    let closable = open.iter().any(|database| database.maintenance && database.may_close);
    Ok(Prepared { roles: roles.complete(), open_databases: open.into_iter().map(|database| database.name).collect(), closable })
}

/// Makes and corrects the fixed roles, in one transaction.
///
/// # Errors
/// [`Error::NotOurs`] as in [`prepared`]; `Denied` when the admin lacks CREATEROLE, or another admin made the roles.
pub async fn prepare_roles(conn: &mut PgConnection, wanted: &Wanted<'_>) -> Result<()> {
    let doing = "preparing the server's roles";
    if read_roles(conn, wanted).await?.complete() {
        return Ok(());
    }
    let mut transaction = conn.begin().await.doing(doing)?;
    send::outcome(&mut transaction, sql::block(&sql::lock("roles")), doing).await?;
    let seen = read_roles(&mut transaction, wanted).await?;
    for (fixed, seen) in FIXED.iter().zip(&seen.roles) {
        for statements in fixed.corrections(seen.as_ref(), wanted) {
            send::send(&mut transaction, statements, doing).await?;
        }
    }
    if !read_roles(&mut transaction, wanted).await?.admin_is_owner {
        send::send(&mut transaction, become_owner(), doing).await?;
    }
    transaction.commit().await.doing(doing)?;
    Ok(())
}

/// Takes PUBLIC's rights on the maintenance databases away, where the admin may, and returns the names of those of all databases that stay open.
///
/// # Errors
/// When the catalog cannot be read or a right cannot be taken.
pub async fn close_maintenance_databases(conn: &mut PgConnection) -> Result<Vec<String>> {
    let doing = "closing the maintenance databases";
    for database in open_databases(conn).await? {
        if database.maintenance && database.may_close {
            send::send(conn, format!("REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC", Ident(&database.name)), doing).await?;
        }
    }
    Ok(open_databases(conn).await?.into_iter().map(|database| database.name).collect())
}

struct Open {
    name: String,
    maintenance: bool,
    may_close: bool,
}

/// Databases that PUBLIC has rights on. Tenants' are judged one by one by [`super::catalog::observe`].
async fn open_databases(conn: &mut PgConnection) -> Result<Vec<Open>> {
    let doing = "looking for open databases";
    let query = "SELECT datname::text AS name, datname IN ('postgres', 'template1', current_database()) AS maintenance,
            pg_has_role(datdba, 'USAGE') AS may_close
        FROM pg_database d WHERE datallowconn AND pg_get_userbyid(datdba) <> $1
            AND EXISTS (SELECT FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) WHERE grantee = 0)
        ORDER BY 1";
    let read = async {
        let rows = sqlx::query(query).bind(OWNER).fetch_all(conn).await?;
        let open = |row: &PgRow| {
            Ok(Open { name: row.try_get("name")?, maintenance: row.try_get("maintenance")?, may_close: row.try_get("may_close")? })
        };
        rows.iter().map(open).collect::<Result<_, _>>()
    };
    send::answer(doing, read).await
}

/// A role with a fixed name.
struct Fixed {
    name: &'static str,
    logs_in: bool,
    member_of: Option<&'static str>,
}

const FIXED: [Fixed; 3] = [
    Fixed { name: OWNER, logs_in: false, member_of: None },
    Fixed { name: APP, logs_in: false, member_of: None },
    Fixed { name: MIGRATOR, logs_in: true, member_of: Some(OWNER) },
];

/// The fixed roles as they stand, in the order of [`FIXED`].
struct Roles {
    roles: Vec<Option<Seen>>,
    admin_is_owner: bool,
}

#[derive(Clone, Copy)]
struct Seen {
    /// Attributes, memberships and settings are as wanted.
    right: bool,
    /// So is the password.
    password: bool,
}

impl Roles {
    fn complete(&self) -> bool {
        self.admin_is_owner && self.roles.iter().all(|role| role.is_some_and(|role| role.right && role.password))
    }
}

impl Fixed {
    fn mark(&self, wanted: &Wanted<'_>) -> RoleMark {
        let password = self.logs_in.then(|| wanted.fingerprint.to_owned());
        RoleMark { cluster: wanted.cluster, role: self.name.to_owned(), password }
    }

    /// Statements that bring the role to what is wanted, a message each.
    fn corrections(&self, seen: Option<&Seen>, wanted: &Wanted<'_>) -> Vec<String> {
        let (role, mark) = (Ident(self.name), self.mark(wanted).text());
        let mut statements = Vec::new();
        if seen.is_none() {
            statements.push(format!("CREATE ROLE {role} NOLOGIN; COMMENT ON ROLE {role} IS {}", Literal(&mark)));
        }
        if !seen.is_some_and(|seen| seen.right) {
            let allowed = Allowed { login: Some(self.logs_in), limit: Some(-1), member_of: self.member_of };
            let find = format!("SELECT * INTO the_login FROM pg_roles WHERE rolname = {};", Literal(self.name));
            statements.push(sql::block(&format!("{find} {}", sql::rectify_role(allowed))));
            statements.push(format!("ALTER ROLE {role} RESET ALL"));
            statements.extend(self.member_of.map(|owner| format!("ALTER ROLE {role} SET role = {}", Ident(owner))));
        }
        if self.logs_in && !seen.is_some_and(|seen| seen.password) {
            statements.push(sql::set_password(self.name, scram::verifier(wanted.password).expose_secret(), &mark));
        }
        statements
    }
}

/// On 16 and later membership must say that it gives the owner's rights and lets databases be made for it; before, it always does.
fn become_owner() -> String {
    sql::block(&format!(
        "EXECUTE 'GRANT {} TO CURRENT_USER' || CASE WHEN current_setting('server_version_num')::int >= 160000 THEN ' WITH INHERIT TRUE, SET TRUE' ELSE '' END;",
        Ident(OWNER)
    ))
}

async fn read_roles(conn: &mut PgConnection, wanted: &Wanted<'_>) -> Result<Roles> {
    let doing = "reading the server's roles";
    let mut roles = Vec::with_capacity(FIXED.len());
    for fixed in &FIXED {
        let row = sqlx::query(ROLE).bind(fixed.name).bind(fixed.member_of).fetch_optional(&mut *conn);
        let seen = match send::answer(doing, row).await? {
            Some(row) => Some(judge(fixed, &row, wanted)?),
            None => None,
        };
        roles.push(seen);
    }
    let query = "SELECT count(*) = 1 FROM pg_roles WHERE rolname = $1 AND pg_has_role(oid, 'USAGE')
        AND pg_has_role(oid, CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END)";
    let admin_is_owner = send::answer(doing, sqlx::query_scalar(query).bind(OWNER).fetch_one(conn)).await?;
    Ok(Roles { roles, admin_is_owner })
}

const ROLE: &str = "SELECT r.rolcanlogin, shobj_description(r.oid, 'pg_authid') AS comment,
        NOT (rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls) AND rolinherit AND rolconnlimit = -1
            AND coalesce(rolvaliduntil, 'infinity') = 'infinity' AS plain,
        rolconfig IS NOT DISTINCT FROM CASE WHEN $2::text IS NOT NULL THEN ARRAY['role=' || $2::text] END AS configured,
        (SELECT coalesce(bool_and(g.rolname = $2 AND NOT m.admin_option AND to_jsonb(m)->>'inherit_option' IS DISTINCT FROM 'false'), $2 IS NULL)
           FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid) IS TRUE AS member
    FROM pg_roles r WHERE rolname = $1";

fn judge(fixed: &Fixed, row: &PgRow, wanted: &Wanted<'_>) -> Result<Seen> {
    let read = || {
        let is = |column| row.try_get::<bool, _>(column);
        let right = is("rolcanlogin")? == fixed.logs_in && is("plain")? && is("configured")? && is("member")?;
        Ok::<_, sqlx::Error>((right, row.try_get::<Option<String>, _>("comment")?))
    };
    let (right, comment) = read().doing("reading the server's roles")?;
    let mark = RoleMark::parse(comment.as_deref()).filter(|mark| mark.cluster == wanted.cluster && mark.role == fixed.name);
    let mark = mark.ok_or_else(|| Error::NotOurs { object: Object::Role, name: fixed.name.to_owned() })?;
    Ok(Seen { right, password: mark == fixed.mark(wanted) })
}
