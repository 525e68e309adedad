//! Why the tenant registry cache could not answer. Must not quote rows or credentials.

use std::sync::Arc;

use domain::retry::Class;
use postgres::schema;

/// The result of a query of the tenant registry cache.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The registry could not be read. Cloned for everybody who waited for the same query.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A statement or connection failed.
    #[error("the registry could not be read")]
    Registry(#[source] Arc<registry::Error>),
    /// The registry was restored, or its server started anew, and memory has not followed yet. What memory says may be untrue, and so may the answer.
    #[error("the registry is another one than before, as after a restore, and is being read again")]
    Reloading,
    /// The registry had tenants and has none, which happens while a restore is under way.
    #[error("the registry holds no tenant any more, as while it is being restored: the tenants in memory stay until it holds some")]
    Emptied,
    /// The master database's migrations, which this program was built with, are broken.
    #[error("the built-in migrations of the master database cannot be used")]
    Schema(#[source] Arc<schema::Error>),
    /// The operator has not yet migrated the master database.
    #[error(
        "the registry is at migration {found}, and this program needs {needed}: wait for the operator of the same release to migrate it"
    )]
    SchemaOutdated {
        /// What the master database has applied.
        found: u32,
        /// What this program was built with.
        needed: u32,
    },
}

impl Error {
    /// The class of the error, which decides how long to wait before a retry.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Registry(source) => source.class(),
            Self::Schema(source) => source.class(),
            Self::Reloading | Self::Emptied | Self::SchemaOutdated { .. } => Class::Transient,
        }
    }
}

impl From<registry::Error> for Error {
    fn from(source: registry::Error) -> Self {
        Self::Registry(Arc::new(source))
    }
}

impl From<schema::Error> for Error {
    fn from(source: schema::Error) -> Self {
        Self::Schema(Arc::new(source))
    }
}
