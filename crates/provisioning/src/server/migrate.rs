//! Migrating one school's database by one file, logged in as the migrator: its file, record and ownership comment commit together.
//!
//! Must never run a file with the admin's rights: a tenant may have put objects into its database that the file would execute.

use postgres::error::Doing as _;
use postgres::schema::{Applied, Migration, Migrations};
use postgres::session::{Credentials, Endpoint};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use super::ownership::{DatabaseComment, OwnershipComment as _};
use super::{Error, Object, Result, TenantObjects, migrator_session, send, sql, template};

/// Applies `migration` to the school's database if the ownership comment names the version before; does nothing when it names this version. Only what the
/// server's template has been built with reaches a school.
///
/// # Errors
/// [`Error::Gone`] while the server has no template of all of `migrations`;
/// [`Error::Migration`] when the file fails (`Contended` when it could not lock a table within 5 s); [`Error::OutOfOrder`]; [`Error::NotOurs`];
/// [`Error::Schema`] when the records say that other files were applied.
pub async fn migrate(
    endpoint: &Endpoint,
    migrator: &Credentials,
    objects: &TenantObjects,
    migrations: &Migrations,
    migration: &Migration,
) -> Result<Applied> {
    let mut conn = migrator_session::open(endpoint, migrator, objects.database.as_str()).await?;
    let applied = send::within(send::LONG, "migrating the database", apply(&mut conn, objects, migrations, migration)).await?;
    // The migration is committed, whether or not the session ends cleanly.
    let _ = conn.close().await;
    Ok(applied)
}

async fn apply(conn: &mut PgConnection, objects: &TenantObjects, migrations: &Migrations, migration: &Migration) -> Result<Applied> {
    let name = objects.database.as_str();
    let found = read_comment(conn, objects).await?;
    let expected = migration.version.saturating_sub(1);
    if found.schema == migration.version {
        return Ok(Applied::Already);
    }
    if !template::exists(conn, migrations.digest()).await? {
        return Err(Error::Gone { object: Object::Template, name: template::name(migrations.digest()) });
    }
    let digest = migrations.digest_at(migration.version);
    let (Some(digest), true) = (digest, found.schema == expected) else {
        return Err(Error::OutOfOrder { database: name.to_owned(), file: migration.file(), found: found.schema, expected });
    };
    let comment = sql::comment_database(name, &DatabaseComment { schema: migration.version, digest: digest.to_owned(), ..found }.text());
    let applied = migrations.apply(conn, migration, Some(&comment)).await?;
    if applied == Applied::Already {
        // Somebody set the ownership comment back. The records were just compared with the files, so they are right and the comment is not.
        let doing = "writing the schema version into the ownership comment";
        sqlx::raw_sql(AssertSqlSafe(comment)).execute(conn).await.doing(doing)?;
    }
    Ok(applied)
}

async fn read_comment(conn: &mut PgConnection, objects: &TenantObjects) -> Result<DatabaseComment> {
    let query = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()";
    let comment: Option<String> = sqlx::query_scalar(query).fetch_one(conn).await.doing("reading the database's ownership comment")?;
    DatabaseComment::parse(comment.as_deref())
        .filter(|comment| comment.tenant == objects.tenant && comment.cluster == objects.cluster)
        .ok_or_else(|| Error::NotOurs { object: Object::Database, name: objects.database.to_string() })
}
