//! What can go wrong with the registry. Must not quote credentials or rows.

use super::{password, seal};
use crate::domain::names::TenantId;
use crate::domain::retry::Class;
use crate::{schema, sql};

/// A failure of registry work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A statement or connection failed.
    #[error(transparent)]
    Sql(#[from] sql::Error),
    /// The master database's schema could not be brought up to date.
    #[error("migrating the master database failed")]
    Schema(#[from] schema::Error),
    /// Preparing ran without an error, and yet something is missing.
    #[error("the master database is not prepared: {lacks}")]
    Unprepared {
        /// What is missing, and what a person does about it.
        lacks: &'static str,
    },
    /// The role that the API should log in as is something else.
    #[error("the API's login exists and is no login that is a member of dailycare_api and nothing more; name another one in its URL")]
    LoginTaken,
    /// A row holds what this program does not know.
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
        /// Whose.
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
    /// How to go on.
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

impl seal::Error {
    /// How to go on.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::NoKey
            | Self::BadLine(_)
            | Self::BadOpeningLine(_)
            | Self::SealingKey(_)
            | Self::OpeningKey(_)
            | Self::Repeated(_)
            | Self::UnknownKey => Class::Denied,
            Self::Refused => Class::Invalid,
            Self::Failed => Class::Transient,
        }
    }
}
