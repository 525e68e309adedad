//! What the catalogs say about schools: facts in one query, judged here into the domain's words.
//!
//! Must not guess: a catalog that cannot be read is an error. Changes nothing.

use domain::names::{ClusterUid, TenantId};
use domain::school::observed::{CatalogFacts, DatabaseAccess, ObservedDatabase, ObservedLogin, Schema};
use postgres::schema::Migrations;
use sqlx::postgres::{PgConnection, PgPool, PgRow};
use sqlx::{AssertSqlSafe, Row as _};

use super::borrow::Borrowed;
use super::mark::{DatabaseMark, LoginMark, Mark as _};
use super::{APP, Error, Holding, OWNER, Result, send, sql};

/// One school to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Its names, and whose marks they should bear.
    pub holding: Holding,
    /// The `CONNECTION LIMIT` that its login should have.
    pub connection_limit: u16,
    /// The keyed fingerprints of the password in its Secret, by any of the keys; none while there is no usable one.
    pub fingerprints: Vec<String>,
}

/// Looks at several schools at once, with one query; the answers are in the order of the questions.
///
/// # Errors
/// When the catalogs cannot be read.
pub async fn observe(conn: &mut PgConnection, migrations: &Migrations, expected: &[Expected]) -> Result<Vec<CatalogFacts>> {
    let doing = "reading the server's catalogs";
    let databases: Vec<&str> = expected.iter().map(|one| one.holding.database.as_str()).collect();
    let logins: Vec<&str> = expected.iter().map(|one| one.holding.login.as_str()).collect();
    let read = async {
        let query = sqlx::query(AssertSqlSafe(facts())).bind(databases).bind(logins);
        let rows = query.bind(sql::spare_prefix(migrations.digest())).fetch_all(conn).await?;
        rows.iter().zip(expected).map(|(row, one)| Ok(Facts::read(row)?.judge(one, migrations))).collect::<Result<_, _>>()
    };
    send::answer(doing, read).await
}

/// Looks at one school over a pooled connection, which is closed when there is no answer.
///
/// # Errors
/// As [`observe`].
pub async fn look(pool: &PgPool, migrations: &Migrations, expected: Expected) -> Result<CatalogFacts> {
    let mut conn = Borrowed::from(pool, "connecting to the server").await?;
    let answers = observe(&mut conn, migrations, &[expected]).await?;
    conn.give_back();
    answers.into_iter().next().ok_or(Error::Senseless { doing: "reading the server's catalogs" })
}

fn facts() -> String {
    format!(
        "SELECT EXISTS (SELECT FROM pg_database s WHERE {spare} AND starts_with(s.datname, $3)) AS spare,
            d.datname IS NOT NULL AS database_exists, shobj_description(d.oid, 'pg_database') AS database_comment,
            coalesce(d.datconnlimit = -2, false) AS interrupted, coalesce(d.datallowconn, false) AS allows,
            coalesce(d.datconnlimit = -1 AND NOT d.datistemplate AND pg_get_userbyid(d.datdba) = '{OWNER}', false) AS database_plain,
            CASE WHEN d.oid IS NOT NULL THEN {acl} ELSE '{{}}' END AS acl,
            r.rolname IS NOT NULL AS login_exists, shobj_description(r.oid, 'pg_authid') AS login_comment,
            coalesce(r.rolcanlogin, false) AS can_login, coalesce(r.rolconnlimit, 0) AS connection_limit,
            coalesce(NOT (r.rolsuper OR r.rolcreatedb OR r.rolcreaterole OR r.rolreplication OR r.rolbypassrls) AND r.rolinherit
                AND coalesce(r.rolvaliduntil, 'infinity') = 'infinity', false) AS login_plain,
            coalesce(NOT r.rolcanlogin, false) AND EXISTS (SELECT FROM pg_stat_activity a WHERE a.datname = d.datname AND a.usename = r.rolname) AS lingers,
            (SELECT coalesce(bool_and(g.rolname = '{APP}' AND NOT m.admin_option AND to_jsonb(m)->>'inherit_option' IS DISTINCT FROM 'false'), false)
               FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid) AS member
        FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS wanted (database, login, place)
        LEFT JOIN pg_database d ON d.datname = wanted.database::name
        LEFT JOIN pg_roles r ON r.rolname = wanted.login::name
        ORDER BY place",
        spare = sql::is_spare("s"),
        acl = sql::acl_of("d"),
    )
}

/// One row of [`facts`]: a database and a login of the wanted names, as far as they exist.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one column of the catalogs")]
struct Facts {
    spare: bool,
    database_exists: bool,
    database_comment: Option<String>,
    interrupted: bool,
    allows: bool,
    database_plain: bool,
    acl: Vec<String>,
    login_exists: bool,
    login_comment: Option<String>,
    can_login: bool,
    /// It may not log in, and yet a session of it is left.
    lingers: bool,
    connection_limit: i32,
    login_plain: bool,
    member: bool,
}

impl Facts {
    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            spare: row.try_get("spare")?,
            database_exists: row.try_get("database_exists")?,
            database_comment: row.try_get("database_comment")?,
            interrupted: row.try_get("interrupted")?,
            allows: row.try_get("allows")?,
            database_plain: row.try_get("database_plain")?,
            acl: row.try_get("acl")?,
            login_exists: row.try_get("login_exists")?,
            login_comment: row.try_get("login_comment")?,
            can_login: row.try_get("can_login")?,
            lingers: row.try_get("lingers")?,
            connection_limit: row.try_get("connection_limit")?,
            login_plain: row.try_get("login_plain")?,
            member: row.try_get("member")?,
        })
    }

    fn judge(&self, expected: &Expected, migrations: &Migrations) -> CatalogFacts {
        let login = self.login(expected);
        CatalogFacts { database: self.database(expected, login, migrations), login, spare: self.spare }
    }

    fn login(&self, expected: &Expected) -> ObservedLogin {
        if !self.login_exists {
            return ObservedLogin::Absent;
        }
        match LoginMark::parse(self.login_comment.as_deref()) {
            Some(mark) if ours(mark.tenant, mark.cluster, expected) => {
                if expected.fingerprints.contains(&mark.password) {
                    ObservedLogin::Matching
                } else {
                    ObservedLogin::Differing
                }
            }
            _ => ObservedLogin::Foreign,
        }
    }

    fn database(&self, expected: &Expected, login: ObservedLogin, migrations: &Migrations) -> ObservedDatabase {
        if !self.database_exists {
            return ObservedDatabase::Absent;
        }
        match DatabaseMark::parse(self.database_comment.as_deref()) {
            Some(mark) if ours(mark.tenant, mark.cluster, expected) => {
                if self.interrupted {
                    return ObservedDatabase::Broken;
                }
                let genuine = migrations.digest_at(mark.schema) == Some(mark.digest.as_str());
                ObservedDatabase::Ours { schema: Schema { version: mark.schema, genuine }, access: self.access(expected, login) }
            }
            _ => ObservedDatabase::Foreign,
        }
    }

    fn access(&self, expected: &Expected, login: ObservedLogin) -> DatabaseAccess {
        if !self.allows {
            return DatabaseAccess::Barred;
        }
        // A role that is not ours is judged by nothing but its right to enter.
        let (role_plain, can_login) = match login {
            ObservedLogin::Absent | ObservedLogin::Foreign => (true, false),
            ObservedLogin::Matching | ObservedLogin::Differing => (self.login_plain && self.member, self.can_login),
        };
        let may_connect = |login| same(&self.acl, &sql::wanted_acl(login));
        let limit = self.connection_limit == i32::from(expected.connection_limit);
        if !(self.database_plain && role_plain) {
            DatabaseAccess::Drifted
        } else if can_login && limit && may_connect(Some(expected.holding.login.as_str())) {
            DatabaseAccess::Open
        } else if !can_login && !self.lingers && may_connect(None) {
            DatabaseAccess::Closed
        } else {
            DatabaseAccess::Drifted
        }
    }
}

fn ours(tenant: TenantId, cluster: ClusterUid, expected: &Expected) -> bool {
    tenant == expected.holding.tenant && cluster == expected.holding.cluster
}

/// The same rights, in whatever order; neither list repeats one.
fn same(seen: &[String], wanted: &[String]) -> bool {
    seen.len() == wanted.len() && wanted.iter().all(|right| seen.contains(right))
}

/// Everything of one cluster on a server, by its marks: for the server's status and for finding leaks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Databases and their marks.
    pub databases: Vec<(String, DatabaseMark)>,
    /// Logins and their marks.
    pub logins: Vec<(String, LoginMark)>,
    /// Staged databases of any digest.
    pub spares: u32,
}

/// Finds what bears a mark of `cluster`, whatever it is called.
///
/// # Errors
/// When the catalogs cannot be read.
pub async fn census(conn: &mut PgConnection, cluster: ClusterUid) -> Result<Census> {
    let doing = "counting databases and logins";
    let query = format!(
        "SELECT 'd' AS kind, datname::text AS name, shobj_description(oid, 'pg_database') AS comment, {} AS spare FROM pg_database
         UNION ALL SELECT 'r', rolname::text, shobj_description(oid, 'pg_authid'), false FROM pg_roles ORDER BY 1, 2",
        sql::is_spare("pg_database")
    );
    let read = async {
        let mut census = Census::default();
        for row in sqlx::query(AssertSqlSafe(query)).fetch_all(conn).await? {
            let (name, comment): (String, Option<String>) = (row.try_get("name")?, row.try_get("comment")?);
            census.spares += u32::from(row.try_get::<bool, _>("spare")?);
            if row.try_get::<&str, _>("kind")? == "d" {
                census
                    .databases
                    .extend(DatabaseMark::parse(comment.as_deref()).filter(|mark| mark.cluster == cluster).map(|mark| (name, mark)));
            } else {
                census.logins.extend(LoginMark::parse(comment.as_deref()).filter(|mark| mark.cluster == cluster).map(|mark| (name, mark)));
            }
        }
        Ok(census)
    };
    send::answer(doing, read).await
}
