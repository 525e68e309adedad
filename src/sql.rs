//! How this program speaks to any PostgreSQL: connection settings, quoting and errors. Knows nothing of schools; runs no statement of its own.

pub mod error;
pub mod quote;
pub mod session;
pub mod url;

pub use error::{Error, Result};
