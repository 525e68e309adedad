//! Talking to any PostgreSQL server: connection settings, quoting, errors, and the numbered SQL files of a schema. Must not know schools.

pub mod certificates;
pub mod error;
pub mod locale;
pub mod quote;
pub mod schema;
pub mod session;
pub mod url;

pub use error::{Error, Result};
