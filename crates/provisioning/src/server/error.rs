//! What can go wrong on a tenant server, beyond PostgreSQL's own errors.
//!
//! Must not carry statements or data: a failed migration is reported by its file and SQLSTATE, because the server's message may quote rows.

use std::fmt;

use domain::retry::Class;
use domain::server::PasswordForm;
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

/// Work that was not done. Nothing has changed, except where a variant says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// PostgreSQL or the connection to it failed; see [`postgres::Error`].
    #[error(transparent)]
    Sql(#[from] postgres::Error),
    /// An object of that name exists without the expected ownership comment.
    #[error("{object} {name} has no ownership comment of ours")]
    NotOurs {
        /// What it is.
        object: Object,
        /// Its name.
        name: String,
    },
    /// An object that the work needs does not exist.
    #[error("{object} {name} does not exist")]
    Gone {
        /// What it is.
        object: Object,
        /// Its name.
        name: String,
    },
    /// A drop was interrupted; PostgreSQL allows only another drop of this database.
    #[error("database {name} is half dropped and can only be dropped")]
    Interrupted {
        /// The database.
        name: String,
    },
    /// The admin cannot revoke rights that a member of its own role granted; everything else was corrected.
    #[error("rights on database {name} were granted by a role that is a member of the admin; revoke that membership")]
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
    /// Terminated sessions are still there. New sessions stay locked out.
    #[error("{count} sessions did not end in time")]
    SessionsRemain {
        /// How many.
        count: i64,
    },
    /// The database's ownership comment does not name the version before the migration's.
    #[error("database {database} is at schema version {found}, but {file} follows version {expected}")]
    OutOfOrder {
        /// The database.
        database: String,
        /// The migration.
        file: String,
        /// The version in the ownership comment.
        found: u32,
        /// The version before the migration.
        expected: u32,
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
        /// The server's error code.
        sqlstate: Option<String>,
        /// How the caller goes on.
        class: Class,
    },
    /// The records of migrations do not fit the files; see [`schema::Error`].
    #[error(transparent)]
    Schema(schema::Error),
    /// The server refuses the password of a role in the form in which it was sent; nothing was changed.
    #[error("the server refuses the {} of role {role} (SQLSTATE {sqlstate})", form_of_password(*form))]
    PasswordRefused {
        /// The role.
        role: String,
        /// The server's error code.
        sqlstate: String,
        /// The form.
        form: PasswordForm,
    },
    /// A plain password was not sent, because the session is not encrypted.
    #[error("a plain password is not sent over a session that is not encrypted")]
    Unencrypted,
    /// There was no randomness for a name.
    #[error("the operating system gave no random bytes")]
    NoRandomness,
    /// The server's answer has a form that the statement cannot give.
    #[error("{doing} got an unexpected answer")]
    UnexpectedAnswer {
        /// What was being done.
        doing: &'static str,
    },
}

impl Error {
    /// How the caller goes on: retry, wait for a person, or report a bug.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Sql(error) => error.class(),
            Self::Schema(error) => error.class(),
            Self::Migration { class, .. } => *class,
            Self::NotOurs { .. }
            | Self::RightsRemain { .. }
            | Self::WrongRole { .. }
            | Self::PasswordRefused { .. }
            | Self::Unencrypted => Class::Denied,
            Self::Gone { .. }
            | Self::Interrupted { .. }
            | Self::NotClosed { .. }
            | Self::DatabaseExists { .. }
            | Self::SessionsRemain { .. }
            | Self::OutOfOrder { .. } => Class::Contended,
            Self::NoRandomness => Class::Transient,
            Self::UnexpectedAnswer { .. } => Class::Bug,
        }
    }

    /// The SQLSTATE, when the server sent one.
    #[must_use]
    pub fn sqlstate(&self) -> Option<String> {
        match self {
            Self::Sql(error) => error.sqlstate(),
            Self::Schema(error) => error.sqlstate(),
            Self::Migration { sqlstate, .. } => sqlstate.clone(),
            Self::PasswordRefused { sqlstate, .. } => Some(sqlstate.clone()),
            Self::NotOurs { .. }
            | Self::Gone { .. }
            | Self::Interrupted { .. }
            | Self::RightsRemain { .. }
            | Self::NotClosed { .. }
            | Self::DatabaseExists { .. }
            | Self::SessionsRemain { .. }
            | Self::OutOfOrder { .. }
            | Self::WrongRole { .. }
            | Self::Unencrypted
            | Self::NoRandomness
            | Self::UnexpectedAnswer { .. } => None,
        }
    }

    /// The server could not be reached, as opposed to having refused.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Sql(error) if error.is_unreachable())
    }
}

fn form_of_password(form: PasswordForm) -> &'static str {
    match form {
        PasswordForm::Verifier => "SCRAM verifier",
        PasswordForm::Plain => "password",
    }
}

impl From<schema::Error> for Error {
    fn from(error: schema::Error) -> Self {
        let class = error.class();
        match error {
            // Its message may quote rows of the school, so only the code is kept.
            schema::Error::Failed { file, source } => Self::Migration { file, sqlstate: source.sqlstate(), class },
            schema::Error::Record(source) => Self::Sql(source),
            other => Self::Schema(other),
        }
    }
}
