//! Bringing the master database into being: roles, database, rights, schema.
//!
//! Any number of operators may start at once, on any state that an interrupted one left. Nothing is written when nothing is missing.

use std::time::Duration;

use postgres::error::Doing as _;
use postgres::quote::Ident;
use postgres::schema::Migrations;
use postgres::session::{self, Purpose};
use postgres::url::Target;
use registry::ANSWER;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::{Error, Result};

/// Owns the master database and writes it; NOLOGIN.
pub const OPERATOR: &str = "dailycare_operator";
/// Reads tenants and users for the API; NOLOGIN, the API's login is a member.
pub const API: &str = "dailycare_api";

/// Connections of an operator to the master database.
const POOL_SIZE: u32 = 8;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);
/// For another operator to finish, and for disks.
const PATIENCE: Duration = Duration::from_mins(10);

const LOOKING: &str = "looking at how the master database is prepared";

/// One preparer at a time on a server, and one migrator at a time in a master database.
const LOCK: i64 = 0x6463_5f6d_6173_7472;

/// Makes the master database whatever it should be, and opens a bounded pool to it whose sessions are `dailycare_operator`. The target's
/// login is an admin: a superuser, or one with CREATEDB and CREATEROLE.
///
/// # Errors
/// When the server does not answer, the admin lacks a right, or the database's records of migrations do not fit `migrations`.
pub async fn bootstrap(target: &Target, migrations: &Migrations) -> Result<PgPool> {
    if !within(ANSWER, LOOKING, is_prepared(target)).await? {
        within(PATIENCE, "preparing the master database", prepare(target)).await?;
    }
    let options =
        session::options(&target.endpoint, &target.credentials, &target.database, Purpose::Registry).options([("role", OPERATOR)]);
    within(PATIENCE, "migrating the master database", migrate(&options, migrations)).await?;
    let pool = PgPoolOptions::new().max_connections(POOL_SIZE).acquire_timeout(ACQUIRE_TIMEOUT).idle_timeout(IDLE_TIMEOUT);
    Ok(pool.connect_with(options).await.doing("connecting to the master database")?)
}

/// Asks in the master database itself, which is all that a restart needs.
async fn is_prepared(target: &Target) -> Result<bool> {
    let options = session::options(&target.endpoint, &target.credentials, &target.database, Purpose::Operator);
    match session::connect(&options, "connecting to the master database").await {
        Ok(mut conn) => {
            let lacks = lacking(&mut conn, &target.database).await?;
            close(conn).await;
            Ok(lacks.is_empty())
        }
        // It does not exist, or this admin may not enter it yet.
        Err(error) if error.is("3D000") || error.is("42501") => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// What a prepared server has, in the order in which it is made: each thing needs those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    OperatorRole,
    ApiRole,
    Membership,
    Database,
    Ownership,
    Rights,
}

const PARTS: [(Part, &str); 6] = [
    (Part::OperatorRole, "the role dailycare_operator does not exist"),
    (Part::ApiRole, "the role dailycare_api does not exist"),
    (Part::Membership, "the admin is no member of dailycare_operator; grant it WITH INHERIT TRUE, SET TRUE"),
    (Part::Database, "the database does not exist"),
    (Part::Ownership, "the database is not owned by dailycare_operator; change its owner"),
    (Part::Rights, "PUBLIC may connect to it, or dailycare_operator or dailycare_api may not; somebody else than its owner granted that"),
];

/// One query over shared catalogs: it gives the same answer in every database of the server.
const SEEN: &str = "
    SELECT operator.oid IS NOT NULL, api.oid IS NOT NULL,
           coalesce(pg_has_role(current_user, operator.oid, 'USAGE') AND pg_has_role(current_user, operator.oid,
               CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END), false),
           database.oid IS NOT NULL,
           coalesce(database.datdba = operator.oid, false),
           coalesce((SELECT count(*) FILTER (WHERE grantee = 0 AND privilege_type IN ('CONNECT', 'TEMPORARY')) = 0
                        AND count(DISTINCT grantee) FILTER (WHERE privilege_type = 'CONNECT' AND grantee IN (operator.oid, api.oid)) = 2
                     FROM aclexplode(coalesce(database.datacl, acldefault('d', database.datdba)))), false)
    FROM (SELECT) AS always
    LEFT JOIN pg_roles operator ON operator.rolname = $1
    LEFT JOIN pg_roles api ON api.rolname = $2
    LEFT JOIN pg_database database ON database.datname = $3";

async fn lacking(conn: &mut PgConnection, database: &str) -> postgres::Result<Vec<(Part, &'static str)>> {
    let row = sqlx::query(SEEN).bind(OPERATOR).bind(API).bind(database).fetch_one(conn).await.doing(LOOKING)?;
    let mut lacks = Vec::new();
    for (column, part) in PARTS.into_iter().enumerate() {
        if !row.try_get::<bool, _>(column).doing(LOOKING)? {
            lacks.push(part);
        }
    }
    Ok(lacks)
}

/// Makes what is missing, from the maintenance database, because everything it makes belongs to the whole server.
async fn prepare(target: &Target) -> Result<()> {
    let options = session::options(&target.endpoint, &target.credentials, "postgres", Purpose::Operator);
    let mut conn = connect_patiently(options, "connecting to the maintenance database").await?;
    lock(&mut conn, "waiting for another operator to prepare the master database").await?;
    for (part, _) in PARTS {
        if lacking(&mut conn, &target.database).await?.iter().any(|(lacking, _)| *lacking == part) {
            make(&mut conn, part, &target.database).await?;
        }
    }
    let lacks = lacking(&mut conn, &target.database).await?;
    close(conn).await;
    lacks.first().map_or(Ok(()), |(_, lacks)| Err(Error::Unprepared { lacks }))
}

async fn make(conn: &mut PgConnection, part: Part, database: &str) -> postgres::Result<()> {
    let (operator, api, database) = (Ident(OPERATOR), Ident(API), Ident(database));
    let (statement, doing) = match part {
        Part::OperatorRole => (format!("CREATE ROLE {operator} NOLOGIN"), "creating the role dailycare_operator"),
        Part::ApiRole => (format!("CREATE ROLE {api} NOLOGIN"), "creating the role dailycare_api"),
        Part::Membership => {
            // PostgreSQL 16 gives the creator ADMIN only; 15 knows no options, and a plain grant means both.
            let how = if version(conn).await? >= 160_000 { " WITH INHERIT TRUE, SET TRUE" } else { "" };
            (format!("GRANT {operator} TO CURRENT_USER{how}"), "becoming a member of dailycare_operator")
        }
        Part::Database => {
            (format!("CREATE DATABASE {database} TEMPLATE template0 ENCODING 'UTF8' OWNER {operator}"), "creating the master database")
        }
        Part::Ownership => (format!("ALTER DATABASE {database} OWNER TO {operator}"), "giving the master database to dailycare_operator"),
        Part::Rights => (
            format!(
                "REVOKE CONNECT, TEMPORARY ON DATABASE {database} FROM PUBLIC; GRANT CONNECT ON DATABASE {database} TO {operator}, {api}"
            ),
            "granting the master database's rights",
        ),
    };
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(conn).await.doing(doing).map(|_| ())
}

async fn version(conn: &mut PgConnection) -> postgres::Result<i32> {
    let version = sqlx::query_scalar("SELECT current_setting('server_version_num')::int4").fetch_one(conn).await;
    version.doing("asking for the server's version")
}

/// Applies what is missing, one transaction a file, one operator at a time.
async fn migrate(options: &PgConnectOptions, migrations: &Migrations) -> Result<()> {
    let mut conn = connect_patiently(options.clone(), "connecting to the master database").await?;
    if migrations.applied(&mut conn).await? < migrations.target() {
        lock(&mut conn, "waiting for another operator to migrate the master database").await?;
        let mut version = migrations.applied(&mut conn).await?;
        while let Some(migration) = migrations.next_after(version) {
            migrations.apply(&mut conn, migration, None).await?;
            version = migration.version;
        }
    }
    close(conn).await;
    Ok(())
}

/// A session that may wait for another operator, and that a time-out does not interrupt halfway through creating a database.
pub(super) async fn connect_patiently(options: PgConnectOptions, doing: &'static str) -> postgres::Result<PgConnection> {
    session::connect(&options.options([("lock_timeout", "30s"), ("statement_timeout", "5min")]), doing).await
}

/// Held until the session ends, whichever way it does. From then on, waiting for a lock is short again: others may be waiting behind us.
pub(super) async fn lock(conn: &mut PgConnection, doing: &'static str) -> postgres::Result<()> {
    sqlx::query("SELECT pg_advisory_lock($1)").bind(LOCK).execute(&mut *conn).await.doing(doing)?;
    sqlx::raw_sql("SET lock_timeout = '5s'").execute(conn).await.doing(doing).map(|_| ())
}

/// Says goodbye; a server that does not hear it ends the session by itself.
pub(super) async fn close(conn: PgConnection) {
    let _ = tokio::time::timeout(session::CONNECT_TIMEOUT, conn.close()).await;
}

/// The server's own time-outs come first, unless it or the network is gone.
async fn within<T>(limit: Duration, doing: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(postgres::Error::timed_out(doing).into()))
}
