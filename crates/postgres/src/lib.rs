//! How this program speaks to any PostgreSQL: connection settings, quoting, errors, and the numbered SQL files of a schema. Knows nothing of schools.

pub mod error;
pub mod quote;
pub mod schema;
pub mod session;
pub mod url;

pub use error::{Error, Result};
