//! The schemas of the tenant and master databases: numbered SQL files, what identifies a prefix of them, and applying one.
//!
//! Must not connect, choose an order of databases or know schools: a caller brings the connection, logged in as whoever may run the file.

mod alone;
mod apply;
mod error;
mod load;
mod statements;

pub use apply::Applied;
pub use error::{Error, Result};

/// Which database a list of migrations is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One school's database; run as `tenant_owner`.
    Tenant,
    /// The master database; run as `dailycare_operator`.
    Master,
}

impl Kind {
    /// The PostgreSQL schema that holds everything, `schema_migrations` among it.
    #[must_use]
    pub fn schema(self) -> &'static str {
        match self {
            Self::Tenant => "app",
            Self::Master => "registry",
        }
    }
}

/// One file, never changed once it has been applied anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// Its number, from 1.
    pub version: u32,
    /// What stands between the number and `.sql`.
    pub name: String,
    /// The statements. None of them begins or ends a transaction: loading refuses those.
    pub sql: String,
    /// How they are run.
    pub mode: Mode,
    /// SHA-256 of the file's bytes, 64 hexadecimal characters.
    pub checksum: String,
}

/// How a file is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In one transaction, with its record.
    Transaction,
    /// Its one statement by itself, because PostgreSQL refuses it in a transaction, and then its record. A crash between the two runs it again.
    Alone(Concurrently),
}

/// The statements that may run alone: each does no harm when it is run again, and what an interrupted one leaves is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concurrently {
    /// `CREATE [UNIQUE] INDEX CONCURRENTLY IF NOT EXISTS`. Interrupted, it leaves an invalid index of this name.
    CreateIndex(String),
    /// `DROP INDEX CONCURRENTLY IF EXISTS`.
    DropIndex,
}

impl Migration {
    /// The file's name, `NNNN_name.sql`.
    #[must_use]
    pub fn file(&self) -> String {
        format!("{:04}_{}.sql", self.version, self.name)
    }
}

/// Every migration of one kind, numbered 1 to n without gaps; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrations {
    kind: Kind,
    list: Vec<Migration>,
    /// `digests[n - 1]` identifies the first n files.
    digests: Vec<String>,
}

impl Migrations {
    /// Which database these are for.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// All of them, in order.
    #[must_use]
    pub fn all(&self) -> &[Migration] {
        &self.list
    }

    /// The version that databases are brought to: the last file's number.
    #[must_use]
    pub fn target(&self) -> u32 {
        self.list.last().map_or(0, |migration| migration.version)
    }

    /// The migration that follows `version` (0: none applied); none at the target and beyond.
    #[must_use]
    pub fn next_after(&self, version: u32) -> Option<&Migration> {
        self.list.get(usize::try_from(version).ok()?)
    }

    /// What identifies, byte for byte, the first `version` files: SHA-256 over their checksums, 64 hexadecimal characters.
    /// None for 0 and for versions beyond the target.
    #[must_use]
    pub fn digest_at(&self, version: u32) -> Option<&str> {
        self.digests.get(usize::try_from(version.checked_sub(1)?).ok()?).map(String::as_str)
    }

    /// What identifies all of them.
    #[must_use]
    pub fn digest(&self) -> &str {
        self.digests.last().map_or("", String::as_str)
    }
}

/// The first 12 characters of a digest: short enough for a database name, long enough never to meet another of the same server.
#[must_use]
pub fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
