//! Templates: the current schema as a database that only superusers could enter, made once per server and digest, that new databases are copied from.
//!
//! A template is built under another name and renamed when it is complete, so a database with a template's name is always complete. Must not touch a database
//! unless it is named as we name ours and owned by [`OWNER`].

use postgres::error::Doing as _;
use postgres::locale;
use postgres::schema::{Migrations, short};
use postgres::session::{Credentials, Endpoint};
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{AssertSqlSafe, Connection as _};

use super::session_guard::SessionGuard;
use super::sessions::{self, SessionScope};
use super::{Error, OWNER, Result, migrator_session, send, sql};

/// One builder at a time on a server.
const LOCK: &str = "templates";

/// The name of the template for the schema with this digest.
#[must_use]
pub fn name(digest: &str) -> String {
    format!("dc_template_{}", short(digest))
}

fn building(digest: &str) -> String {
    format!("dc_building_{}", short(digest))
}

/// The template of this digest exists, is frozen, and can be copied.
///
/// # Errors
/// When the catalog cannot be read.
pub async fn exists(conn: &mut PgConnection, digest: &str) -> Result<bool> {
    let doing = "observing the template";
    let query = format!("SELECT EXISTS (SELECT FROM pg_database d WHERE datname = $1 AND {})", sql::is_template("d"));
    send::answer(doing, sqlx::query_scalar(AssertSqlSafe(query)).bind(name(digest)).fetch_one(conn)).await
}

/// Builds the template of `migrations`, logged in as the migrator, unless it exists. Drops first what an interrupted build left.
///
/// # Errors
/// [`super::Error::Migration`] when a file fails; SQLSTATE 55P03 (`Contended`) while another builder is working.
pub async fn build(pool: &PgPool, endpoint: &Endpoint, migrator: &Credentials, migrations: &Migrations) -> Result<()> {
    let digest = migrations.digest();
    let mut conn = SessionGuard::acquire(pool, "building the template").await?;
    send::send(&mut conn, sql::advisory_lock(LOCK), "waiting for another builder").await?;
    if !exists(&mut conn, digest).await? {
        let (building, template) = (building(digest), name(digest));
        for leftover in [&building, &template] {
            drop_ours(&mut conn, leftover).await?;
        }
        create_building(&mut conn, &building).await?;
        send::send(&mut conn, sql::admit_migrator(&building), "admitting the migrator").await?;
        let filled = Box::pin(send::meanwhile(&mut conn, fill(endpoint, migrator, &building, migrations)));
        send::within(send::LONG, "building the template", filled).await?;
        send::send(&mut conn, sql::freeze(&building, &template), "freezing the template").await?;
    }
    send::send(&mut conn, sql::advisory_unlock(LOCK), "releasing the builders' lock").await?;
    conn.release();
    Ok(())
}

/// In the locale that is the same everywhere, or where the system lacks it, in the server's own.
async fn create_building(conn: &mut PgConnection, building: &str) -> Result<()> {
    let doing = "creating a database for the template";
    let version = "SELECT current_setting('server_version_num')::int4";
    let version: i32 = send::answer(doing, sqlx::query_scalar(version).fetch_one(&mut *conn)).await?;
    match send::send_long(conn, sql::create_building(building, locale::portable(version)), doing).await {
        Err(Error::Sql(error)) if locale::is_unknown(&error) => send::send_long(conn, sql::create_building(building, ""), doing).await,
        created => created,
    }
}

/// Applies every file, each in a session of its own as in a school, so that a file works here if it works there. Then gathers the statistics and freezes
/// the rows that copies start with.
async fn fill(endpoint: &Endpoint, migrator: &Credentials, building: &str, migrations: &Migrations) -> Result<()> {
    for migration in migrations.all() {
        let mut conn = migrator_session::open(endpoint, migrator, building).await?;
        migrations.apply(&mut conn, migration, None).await?;
        conn.close().await.doing("ending a migration's session")?;
    }
    let doing = "vacuuming the template";
    let mut conn = migrator_session::open(endpoint, migrator, building).await?;
    sqlx::raw_sql("VACUUM (FREEZE, ANALYZE)").execute(&mut conn).await.doing(doing)?;
    // A database with a session cannot be renamed.
    conn.close().await.doing(doing)?;
    Ok(())
}

/// There are templates, spares or leftovers of builds of another digest than this one, or spares of it that cannot be claimed any more.
///
/// # Errors
/// When the catalog cannot be read.
pub async fn stale(conn: &mut PgConnection, keep_digest: &str) -> Result<bool> {
    Ok(!others(conn, keep_digest).await?.is_empty())
}

/// Databases with our names for another digest, and spares that cannot be claimed: of another version of the system's collations, or made by an earlier version
/// of the product in a way that `pg_upgrade` refuses. Oldest first.
async fn others(conn: &mut PgConnection, keep_digest: &str) -> Result<Vec<String>> {
    let query = format!(
        "SELECT datname::text FROM pg_database d WHERE pg_get_userbyid(datdba) = $1
         AND (substring(datname from '^dc_(?:template|building|spare)_([0-9a-f]{{12}})(?:_[0-9a-f]{{32}})?$') <> $2
              OR datname ~ '^dc_spare_[0-9a-f]{{12}}_[0-9a-f]{{32}}$' AND NOT (({}) AND ({}))) ORDER BY oid",
        sql::is_frozen("d"),
        sql::collates_as_now("d")
    );
    let rows = sqlx::query_scalar(AssertSqlSafe(query)).bind(OWNER).bind(short(keep_digest)).fetch_all(conn);
    send::answer("observing old templates", rows).await
}

/// Drops templates, spares and leftovers of builds of every digest but this one, and spares that cannot be claimed any more.
///
/// # Errors
/// SQLSTATE 55006 (`Contended`) while one is being copied; those before it are already dropped.
pub async fn drop_stale(pool: &PgPool, keep_digest: &str) -> Result<()> {
    let doing = "observing old templates";
    let mut conn = SessionGuard::acquire(pool, doing).await?;
    send::send(&mut conn, sql::advisory_lock(LOCK), "waiting for a builder").await?;
    for name in others(&mut conn, keep_digest).await? {
        drop_ours(&mut conn, &name).await?;
    }
    send::send(&mut conn, sql::advisory_unlock(LOCK), "releasing the builders' lock").await?;
    conn.release();
    Ok(())
}

/// Drops a template, spare or building by name, if it is one of ours. A claim or staging of it that runs at the same time wins.
async fn drop_ours(conn: &mut PgConnection, name: &str) -> Result<()> {
    let doing = "dropping an old template";
    send::send(conn, sql::advisory_lock(name), doing).await?;
    match send::outcome(conn, sql::bar_ours(name), doing).await?.as_str() {
        "done" => {
            sessions::end(conn, SessionScope::Database { name, login: None }).await?;
            send::send_long(conn, sql::drop_database(name), doing).await?;
        }
        "database interrupted" => send::send_long(conn, sql::drop_database(name), doing).await?,
        "database gone" => {} // or it was claimed and is no longer named as ours
        _ => return Err(Error::UnexpectedAnswer { doing }),
    }
    send::send(conn, sql::advisory_unlock(name), doing).await.map(drop)
}
