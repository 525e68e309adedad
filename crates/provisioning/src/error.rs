//! What can go wrong on a tenant server, beyond PostgreSQL's own errors.
//!
//! Must not carry statements or data: a migration's failure is its file and SQLSTATE, because the server's words about it may quote rows.

use std::fmt;

use domain::retry::Class;
use postgres::schema;

/// The result of work on a tenant server.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A kind of thing on a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// A school's database.
    Database,
    /// A school's login.
    Login,
    /// One of the server's fixed roles.
    Role,
    /// The frozen database that others are copied from.
    Template,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Database => "database",
            Self::Login => "login",
            Self::Role => "role",
            Self::Template => "template",
        })
    }
}

/// Work that was not done. Except where said, nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// PostgreSQL or the way to it failed; see [`postgres::Error`].
    #[error(transparent)]
    Sql(#[from] postgres::Error),
    /// Something of that name exists and does not bear the mark asked for.
    #[error("{object} {name} is not marked as ours")]
    NotOurs {
        /// What it is.
        object: Object,
        /// Its name.
        name: String,
    },
    /// What the work needs is not there.
    #[error("{object} {name} does not exist")]
    Gone {
        /// What it is.
        object: Object,
        /// Its name.
        name: String,
    },
    /// A drop was interrupted; PostgreSQL lets only another drop happen to this database.
    #[error("database {name} is half dropped and can only be dropped")]
    Interrupted {
        /// The database.
        name: String,
    },
    /// Rights that a member of the admin's own role passed on are out of its reach; everything else was set right.
    #[error("rights on database {name} were passed on by a role that acts for the admin; take that role's membership away")]
    RightsRemain {
        /// The database.
        name: String,
    },
    /// A database is dropped only once its login can no longer enter.
    #[error("database {name} is still open to its login")]
    NotClosed {
        /// The database.
        name: String,
    },
    /// A login is dropped only after its database.
    #[error("login {login} is kept while database {database} exists")]
    DatabaseExists {
        /// The login.
        login: String,
        /// Its database.
        database: String,
    },
    /// Sessions that were told to end are still there. What closed them stays in place.
    #[error("{count} sessions did not end in time")]
    SessionsRemain {
        /// How many.
        count: i64,
    },
    /// The database's mark does not name the version that the migration follows.
    #[error("database {database} is at schema version {found}, but {file} follows version {wanted}")]
    OutOfOrder {
        /// The database.
        database: String,
        /// The migration.
        file: String,
        /// The version in the mark.
        found: u32,
        /// The version before the migration.
        wanted: u32,
    },
    /// The migrator's session does not act as [`super::OWNER`]: the server's roles are not prepared.
    #[error("migrations would run as {found}")]
    WrongRole {
        /// The session's `current_user`.
        found: String,
    },
    /// A migration's file failed; nothing of it remains.
    #[error("migration {file} failed{}", sqlstate.as_deref().map(|code| format!(" (SQLSTATE {code})")).unwrap_or_default())]
    Migration {
        /// The file.
        file: String,
        /// What the server said, as a code.
        sqlstate: Option<String>,
        /// How to go on.
        class: Class,
    },
    /// The records of migrations do not fit the files; see [`schema::Error`].
    #[error(transparent)]
    Schema(schema::Error),
    /// No randomness could be had for a name.
    #[error("the operating system gave no random bytes")]
    NoRandomness,
    /// The server answered something that the statement cannot answer.
    #[error("{doing} gave an answer that makes no sense")]
    Senseless {
        /// What was being done.
        doing: &'static str,
    },
}

impl Error {
    /// How to go on.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Sql(error) => error.class(),
            Self::Schema(error) => error.class(),
            Self::Migration { class, .. } => *class,
            Self::NotOurs { .. } | Self::RightsRemain { .. } | Self::WrongRole { .. } => Class::Denied,
            Self::Gone { .. }
            | Self::Interrupted { .. }
            | Self::NotClosed { .. }
            | Self::DatabaseExists { .. }
            | Self::SessionsRemain { .. }
            | Self::OutOfOrder { .. } => Class::Contended,
            Self::NoRandomness => Class::Transient,
            Self::Senseless { .. } => Class::Bug,
        }
    }

    /// The SQLSTATE, when the server sent one.
    #[must_use]
    pub fn sqlstate(&self) -> Option<String> {
        match self {
            Self::Sql(error) => error.sqlstate(),
            Self::Schema(error) => error.sqlstate(),
            Self::Migration { sqlstate, .. } => sqlstate.clone(),
            _ => None,
        }
    }

    /// The server could not be asked at all, as opposed to having refused.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Sql(error) if error.is_unreachable())
    }
}

impl From<schema::Error> for Error {
    fn from(error: schema::Error) -> Self {
        let class = error.class();
        match error {
            // Its message may quote rows of the school, so only the code goes on.
            schema::Error::Failed { file, source } => Self::Migration { file, sqlstate: source.sqlstate(), class },
            schema::Error::Record(source) => Self::Sql(source),
            other => Self::Schema(other),
        }
    }
}
