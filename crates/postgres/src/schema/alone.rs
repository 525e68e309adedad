//! Applying a migration whose one statement PostgreSQL refuses in a transaction: the statement first, then its record and the ownership comment together.
//!
//! Must not wait for a lock in a statement of its own: `CREATE INDEX CONCURRENTLY` waits for every older snapshot, and a statement that waits holds one.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use super::apply::{LOCK, insert_record, transaction_id, write_comment};
use super::{Applied, Concurrently, Error, Kind, Migration, Migrations, Result};
use crate::error::Doing as _;
use crate::quote::Ident;

impl Migrations {
    /// As [`Migrations::apply`], for a file that runs alone. The server holds the lock until its backend ends: after a crash of this program nobody runs the
    /// file a second time while the first is still at work.
    pub(super) async fn apply_alone(
        &self,
        conn: &mut PgConnection,
        migration: &Migration,
        statement: &Concurrently,
        comment: Option<&str>,
    ) -> Result<Applied> {
        let lock = sqlx::query_scalar("SELECT pg_catalog.pg_try_advisory_lock($1)").bind(LOCK).fetch_one(&mut *conn).await;
        if !lock.doing("locking the database for a migration").map_err(Error::Record)? {
            return Err(Error::Busy { file: migration.file() });
        }
        let outcome = self.apply_locked(conn, migration, statement, comment).await;
        // A connection that cannot unlock is dead, and the server has unlocked.
        let _ = sqlx::query("SELECT pg_catalog.pg_advisory_unlock($1)").bind(LOCK).execute(conn).await;
        outcome
    }

    async fn apply_locked(
        &self,
        conn: &mut PgConnection,
        migration: &Migration,
        statement: &Concurrently,
        comment: Option<&str>,
    ) -> Result<Applied> {
        if !self.due(conn, migration).await? {
            return Ok(Applied::Already);
        }
        // It waits for old transactions, and keeps neither readers nor writers waiting meanwhile. The statement's own time-out is the bound.
        execute(conn, "SET lock_timeout = 0", "preparing a migration").await.map_err(Error::Record)?;
        if let Concurrently::CreateIndex(index) = statement {
            drop_invalid(conn, self.kind(), index).await.map_err(Error::Record)?;
        }
        let ran = execute(conn, &migration.sql, "running its statement").await;
        if let Concurrently::CreateIndex(index) = statement {
            if ran.is_err() {
                // An invalid index costs every write, and a unique one refuses rows. When this fails too, the next attempt does it.
                let _ = drop_invalid(conn, self.kind(), index).await;
            } else if index_is_valid(conn, self.kind(), index).await.map_err(Error::Record)? != Some(true) {
                return Err(Error::NoIndex { file: migration.file(), index: index.clone() });
            }
        }
        ran.map_err(|source| Error::Failed { file: migration.file(), source })?;
        execute(conn, "RESET lock_timeout", "preparing a migration").await.map_err(Error::Record)?;
        self.record(conn, migration, comment).await?;
        Ok(Applied::Now)
    }

    async fn record(&self, conn: &mut PgConnection, migration: &Migration, comment: Option<&str>) -> Result<()> {
        let mut transaction = conn.begin().await.doing("recording a migration").map_err(Error::Record)?;
        let id = transaction_id(&mut transaction).await?;
        if !insert_record(&mut transaction, self.kind(), migration, &id).await? {
            return Err(Error::EndedTransaction { file: migration.file() });
        }
        write_comment(&mut transaction, comment).await?;
        transaction.commit().await.doing("committing a migration").map_err(Error::Record)
    }
}

async fn execute(conn: &mut PgConnection, sql: &str, doing: &'static str) -> crate::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await.doing(doing).map(|_| ())
}

/// Drops what an interrupted creation of the index left.
async fn drop_invalid(conn: &mut PgConnection, kind: Kind, index: &str) -> crate::Result<()> {
    if index_is_valid(conn, kind, index).await? == Some(false) {
        let drop = format!("DROP INDEX CONCURRENTLY IF EXISTS {}.{}", Ident(kind.schema()), Ident(index));
        execute(conn, &drop, "dropping an unfinished index").await?;
    }
    Ok(())
}

/// Whether the index is valid; none when there is none.
async fn index_is_valid(conn: &mut PgConnection, kind: Kind, index: &str) -> crate::Result<Option<bool>> {
    let query = "SELECT i.indisvalid FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
        WHERE c.relname = $1 AND c.relnamespace = (SELECT n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname = $2)";
    sqlx::query_scalar(query).bind(index).bind(kind.schema()).fetch_optional(conn).await.doing("observing an index")
}
