//! Applying one migration: its file, its record and the caller's ownership comment commit together or not at all, but for files that run alone.
//!
//! Must not run a file unless the database's records are, byte for byte, the files before it.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::{Error, Kind, Migration, Migrations, Mode, Result};
use crate::error::Doing as _;
use crate::quote::Ident;

/// What applying a migration did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It ran; its record and the ownership comment are committed.
    Now,
    /// It had been applied before; nothing was written, not even the ownership comment.
    Already,
}

/// One migration at a time in one database ("dailycar" in ASCII): a second one waits, then finds the file applied.
pub(super) const LOCK: i64 = 0x6461_696c_7963_6172;

impl Migrations {
    /// Applies `migration` in one transaction: its file, its record, and `comment`, a statement that writes the new version into the ownership comment. A file
    /// that runs alone is followed by the other two. Give each file a session of its own: what one sets must not reach the next.
    ///
    /// # Errors
    /// [`Error::Edited`], [`Error::Gap`] and [`Error::Ahead`] when the records do not fit this list; [`Error::Failed`] when the file fails. Nothing remains of
    /// the file then. [`Error::Busy`] for a file that runs alone while another is being applied.
    pub async fn apply(&self, conn: &mut PgConnection, migration: &Migration, comment: Option<&str>) -> Result<Applied> {
        if self.all().iter().all(|known| known != migration) {
            return Err(Error::Unknown { file: migration.file() });
        }
        if let Mode::Alone(statement) = &migration.mode {
            return self.apply_alone(conn, migration, statement, comment).await;
        }
        // An explicit level, whatever the database's default: the records must be read after the lock is held.
        let mut transaction =
            conn.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await.doing("beginning a migration").map_err(Error::Record)?;
        match self.apply_within(&mut transaction, migration, comment).await {
            Ok(Applied::Now) => {
                transaction.commit().await.doing("committing a migration").map_err(Error::Record)?;
                Ok(Applied::Now)
            }
            unchanged => {
                // Immediately, so that no lock outlives this call. A connection that cannot roll back is dead, and the server has rolled back.
                let _ = transaction.rollback().await;
                unchanged
            }
        }
    }

    /// The version that a database has applied, 0 for none, after checking that its records are the first files of this list.
    ///
    /// # Errors
    /// [`Error::Edited`], [`Error::Gap`], [`Error::Ahead`]; or the records could not be read.
    pub async fn applied(&self, conn: &mut PgConnection) -> Result<u32> {
        match recorded(conn, self.kind()).await.map_err(Error::Record)? {
            Some(records) => self.verify(&records),
            None => Ok(0),
        }
    }

    async fn apply_within(&self, conn: &mut PgConnection, migration: &Migration, comment: Option<&str>) -> Result<Applied> {
        let lock = sqlx::query("SELECT pg_catalog.pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *conn).await;
        lock.doing("waiting for another migration").map_err(Error::Record)?;
        if !self.due(conn, migration).await? {
            return Ok(Applied::Already);
        }
        run(conn, self.kind(), migration).await?;
        write_comment(conn, comment).await?;
        Ok(Applied::Now)
    }

    /// The migration is the next one; false when it was applied before. Creates the table of records when there is none.
    pub(super) async fn due(&self, conn: &mut PgConnection, migration: &Migration) -> Result<bool> {
        let records = recorded(conn, self.kind()).await.map_err(Error::Record)?;
        let version = self.verify(records.as_deref().unwrap_or_default())?;
        if migration.version <= version {
            return Ok(false);
        }
        if migration.version != version + 1 {
            return Err(Error::Gap { recorded: version, next: migration.version });
        }
        if records.is_none() {
            create_record(conn, self.kind()).await.map_err(Error::Record)?;
        }
        Ok(true)
    }

    /// The last version recorded, if the records are the first files of this list.
    fn verify(&self, records: &[Record]) -> Result<u32> {
        let mut last = 0;
        for record in records {
            if record.version != last + 1 {
                return Err(Error::Gap { recorded: last, next: record.version });
            }
            match self.next_after(last) {
                Some(known) if known.checksum != record.checksum => return Err(Error::Edited { file: known.file() }),
                _ => last = record.version,
            }
        }
        if last > self.target() { Err(Error::Ahead { recorded: last, known: self.target() }) } else { Ok(last) }
    }
}

struct Record {
    version: u32,
    checksum: String,
}

impl Record {
    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        let version: i32 = row.try_get("version")?;
        // The table's CHECK keeps versions positive.
        Ok(Self { version: u32::try_from(version).unwrap_or_default(), checksum: row.try_get("checksum")? })
    }
}

/// The records in order; none when the table does not exist.
async fn recorded(conn: &mut PgConnection, kind: Kind) -> crate::Result<Option<Vec<Record>>> {
    let doing = "reading the record of migrations";
    // Not `to_regclass`: that needs USAGE on the schema, so that a missing right would appear as a missing table.
    let exists = "SELECT EXISTS (SELECT FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = 'schema_migrations')";
    if !sqlx::query_scalar::<_, bool>(exists).bind(kind.schema()).fetch_one(&mut *conn).await.doing(doing)? {
        return Ok(None);
    }
    let select = format!("SELECT version, checksum FROM {}.schema_migrations ORDER BY version", Ident(kind.schema()));
    let rows = sqlx::query(AssertSqlSafe(select)).fetch_all(conn).await.doing(doing)?;
    rows.iter().map(Record::read).collect::<Result<_, _>>().doing(doing).map(Some)
}

pub(super) async fn write_comment(conn: &mut PgConnection, comment: Option<&str>) -> Result<()> {
    let Some(comment) = comment else { return Ok(()) };
    let written = sqlx::raw_sql(AssertSqlSafe(comment)).execute(conn).await;
    written.doing("writing the schema version into the ownership comment").map_err(Error::Record).map(|_| ())
}

async fn create_record(conn: &mut PgConnection, kind: Kind) -> crate::Result<()> {
    let schema = Ident(kind.schema());
    let create = format!(
        "CREATE SCHEMA IF NOT EXISTS {schema};
         CREATE TABLE {schema}.schema_migrations (
             version    int         PRIMARY KEY CHECK (version > 0),
             name       text        NOT NULL,
             checksum   text        NOT NULL,
             applied_at timestamptz NOT NULL DEFAULT now())"
    );
    sqlx::raw_sql(AssertSqlSafe(create)).execute(conn).await.doing("creating the record of migrations").map(|_| ())
}

/// Runs the file and inserts its record, but only into the transaction that the file started in.
async fn run(conn: &mut PgConnection, kind: Kind, migration: &Migration) -> Result<()> {
    let file = || migration.file();
    let before = transaction_id(conn).await?;
    let ran = sqlx::raw_sql(AssertSqlSafe(migration.sql.as_str())).execute(&mut *conn).await;
    ran.doing("running its statements").map_err(|source| Error::Failed { file: file(), source })?;
    if insert_record(conn, kind, migration, &before).await? { Ok(()) } else { Err(Error::EndedTransaction { file: file() }) }
}

/// The current transaction's number.
pub(super) async fn transaction_id(conn: &mut PgConnection) -> Result<String> {
    let id = sqlx::query_scalar::<_, String>("SELECT pg_catalog.pg_current_xact_id()::text").fetch_one(conn).await;
    id.doing("beginning a migration").map_err(Error::Record)
}

/// Inserts the migration's record, if the transaction is still the one with this number.
pub(super) async fn insert_record(conn: &mut PgConnection, kind: Kind, migration: &Migration, transaction: &str) -> Result<bool> {
    let insert = format!(
        "INSERT INTO {}.schema_migrations (version, name, checksum) SELECT $1::int8::int4, $2, $3 WHERE pg_catalog.pg_current_xact_id()::text = $4",
        Ident(kind.schema())
    );
    let query = sqlx::query(AssertSqlSafe(insert)).bind(i64::from(migration.version)).bind(&migration.name).bind(&migration.checksum);
    let inserted = query.bind(transaction).execute(conn).await.doing("recording a migration").map_err(Error::Record)?;
    Ok(inserted.rows_affected() == 1)
}
