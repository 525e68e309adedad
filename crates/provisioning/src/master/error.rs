//! What can go wrong with the master database. Must not quote credentials or rows.

use domain::names::TenantId;
use domain::retry::Class;
use postgres::schema;
use registry::{password, seal};

/// A failure of registry work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A statement or connection failed.
    #[error(transparent)]
    Sql(#[from] postgres::Error),
    /// The master database's schema could not be brought up to date.
    #[error("migrating the master database failed")]
    Schema(#[from] schema::Error),
    /// Preparing ran without an error, but something is still missing.
    #[error("the master database is not prepared: {missing}")]
    Unprepared {
        /// What is missing, and what a person does about it.
        missing: &'static str,
    },
    /// The role that the API's URL names exists and is something else.
    #[error("the role that the API's URL names exists and is not a plain login in dailycare_api; name another one in the URL")]
    LoginTaken,
    /// A row holds a value that this program does not know.
    #[error("the registry's row of tenant {tenant} has an unknown {column}")]
    Unknown {
        /// The row.
        tenant: TenantId,
        /// The column.
        column: &'static str,
    },
    /// Who holds a code changed while it was being reserved.
    #[error("the school code changed hands while it was being reserved")]
    Moved,
    /// Sealing credentials failed.
    #[error("sealing the credentials of tenant {tenant} failed")]
    Seal {
        /// The tenant.
        tenant: TenantId,
        /// Why.
        #[source]
        source: seal::Error,
    },
    /// Making or hashing a password failed.
    #[error("making a password failed")]
    Password(#[from] password::Error),
}

/// The result of registry work.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// How the caller goes on: retry, wait for a person, or report a bug.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Sql(source) => source.class(),
            Self::Schema(source) => source.class(),
            Self::Moved => Class::Contended,
            Self::Password(_) => Class::Transient,
            Self::Unprepared { .. } | Self::LoginTaken => Class::Denied,
            Self::Unknown { .. } => Class::Invalid,
            Self::Seal { source, .. } => source.class(),
        }
    }
}
