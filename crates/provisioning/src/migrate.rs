//! Migrating one school's database by one file, logged in as the migrator: file, record and mark commit together.
//!
//! Must never run a file with the admin's rights: what is inside a tenant database may have been put there by a tenant.

use postgres::error::Doing as _;
use postgres::schema::{Applied, Migration, Migrations};
use postgres::session::{self, Credentials, Endpoint, Purpose};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use super::mark::{DatabaseMark, Mark as _};
use super::{Error, Holding, OWNER, Object, Result, send, sql};

/// Applies `migration` to the holding's database, if its mark names the version before; nothing is done when it names this one.
///
/// # Errors
/// [`Error::Migration`] when the file fails (`Contended` when a lock was not had within 5 s); [`Error::OutOfOrder`]; [`Error::NotOurs`];
/// [`Error::Schema`] when the records say that other files were applied.
pub async fn migrate(
    endpoint: &Endpoint,
    migrator: &Credentials,
    holding: &Holding,
    migrations: &Migrations,
    migration: &Migration,
) -> Result<Applied> {
    let mut conn = log_in(endpoint, migrator, holding.database.as_str()).await?;
    let applied = send::within(send::LONG, "migrating the database", step(&mut conn, holding, migrations, migration)).await?;
    // What was done stands, whether or not the server hears the farewell.
    let _ = conn.close().await;
    Ok(applied)
}

async fn step(conn: &mut PgConnection, holding: &Holding, migrations: &Migrations, migration: &Migration) -> Result<Applied> {
    let name = holding.database.as_str();
    let found = read_mark(conn, holding).await?;
    let wanted = migration.version.saturating_sub(1);
    if found.schema == migration.version {
        return Ok(Applied::Already);
    }
    let digest = migrations.digest_at(migration.version);
    let (Some(digest), true) = (digest, found.schema == wanted) else {
        return Err(Error::OutOfOrder { database: name.to_owned(), file: migration.file(), found: found.schema, wanted });
    };
    let mark = sql::comment_database(name, &DatabaseMark { schema: migration.version, digest: digest.to_owned(), ..found }.text());
    let applied = migrations.apply(conn, migration, Some(&mark)).await?;
    if applied == Applied::Already {
        // Somebody set the mark back: the records, which were just compared with the files, are what is true.
        let doing = "marking the database with its schema version";
        sqlx::raw_sql(AssertSqlSafe(mark)).execute(conn).await.doing(doing)?;
    }
    Ok(applied)
}

async fn read_mark(conn: &mut PgConnection, holding: &Holding) -> Result<DatabaseMark> {
    let query = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()";
    let comment: Option<String> = sqlx::query_scalar(query).fetch_one(conn).await.doing("reading the database's mark")?;
    DatabaseMark::parse(comment.as_deref())
        .filter(|mark| mark.tenant == holding.tenant && mark.cluster == holding.cluster)
        .ok_or_else(|| Error::NotOurs { object: Object::Database, name: holding.database.to_string() })
}

/// A session in a tenant database, known to act as [`OWNER`].
pub(super) async fn log_in(endpoint: &Endpoint, migrator: &Credentials, database: &str) -> Result<PgConnection> {
    let doing = "logging in as the migrator";
    let mut conn = session::connect(&session::options(endpoint, migrator, database, Purpose::Migrator), doing).await?;
    let found: String = send::answer(doing, sqlx::query_scalar("SELECT current_user::text").fetch_one(&mut conn)).await?;
    if found == OWNER { Ok(conn) } else { Err(Error::WrongRole { found }) }
}
