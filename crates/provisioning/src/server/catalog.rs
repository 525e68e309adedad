//! Observing schools in a server's catalogs, with one query for any number of them.
//!
//! Must not guess: a catalog that cannot be read is an error. Changes nothing.

mod facts;
mod judge;

use domain::school::observed::CatalogFacts;
use postgres::schema::Migrations;
use secrecy::SecretString;
use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnection, PgPool};

use self::facts::Facts;
use super::session_guard::SessionGuard;
use super::{Error, Result, TenantObjects, send, sql, template};

/// One school to observe, and what it should have.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Its names, and the tenant and cluster that their ownership comments should name.
    pub objects: TenantObjects,
    /// The `CONNECTION LIMIT` that its login should have.
    pub connection_limit: u16,
    /// The keyed fingerprints of the password in its Secret, by each of the keys; none while there is no usable password.
    pub fingerprints: Vec<String>,
    /// The password in its Secret, for a server whose catalog of passwords the admin may read.
    pub password: Option<SecretString>,
}

/// Whether the admin may read what PostgreSQL stores of passwords (`pg_authid`): only a superuser may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passwords {
    /// It may, and they are compared.
    Readable,
    /// It may not: only our own record of what was set tells anything.
    Hidden,
}

/// What the catalogs say of one school.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The planner's facts.
    pub facts: CatalogFacts,
    /// The keyed fingerprint of the login's password, if the login is ours.
    pub fingerprint: Option<String>,
}

/// Observes several schools with one query; the answers are in the order of `expected`.
///
/// # Errors
/// When the catalogs cannot be read.
pub async fn observe(
    conn: &mut PgConnection,
    migrations: &Migrations,
    passwords: Passwords,
    expected: &[Expected],
) -> Result<Vec<Observed>> {
    let doing = "reading the server's catalogs";
    let databases: Vec<&str> = expected.iter().map(|one| one.objects.database.as_str()).collect();
    let logins: Vec<&str> = expected.iter().map(|one| one.objects.login.as_str()).collect();
    let read = async {
        let query = sqlx::query(AssertSqlSafe(facts::query(passwords))).bind(databases).bind(logins);
        let query = query.bind(sql::spare_prefix(migrations.digest())).bind(template::name(migrations.digest()));
        let rows = query.fetch_all(conn).await?;
        let observed = |row, one| {
            let facts = Facts::read(row)?;
            Ok(Observed { fingerprint: facts.fingerprint(one), facts: facts.judge(one, migrations) })
        };
        rows.iter().zip(expected).map(|(row, one)| observed(row, one)).collect::<Result<_, _>>()
    };
    send::answer(doing, read).await
}

/// Observes one school over a pooled connection, which is closed when there is no answer.
///
/// # Errors
/// As [`observe`].
pub async fn observe_one(pool: &PgPool, migrations: &Migrations, passwords: Passwords, expected: Expected) -> Result<Observed> {
    let mut conn = SessionGuard::acquire(pool, "connecting to the server").await?;
    let answers = observe(&mut conn, migrations, passwords, &[expected]).await?;
    conn.release();
    answers.into_iter().next().ok_or(Error::UnexpectedAnswer { doing: "reading the server's catalogs" })
}
