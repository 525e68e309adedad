//! Errors of PostgreSQL work, classified once by SQLSTATE, never by message text.
//!
//! Must not carry SQL: statements may hold credentials, and an error's text ends in logs and conditions.

mod tls;

use domain::retry::Class;

/// A statement or connection that failed.
#[derive(Debug, thiserror::Error)]
#[error("{doing} failed{}", sqlstate_of(source).map(|code| format!(" (SQLSTATE {code})")).unwrap_or_default())]
pub struct Error {
    /// What was being done, for a person to read: "claiming the database".
    pub doing: &'static str,
    /// The driver's error.
    #[source]
    pub source: sqlx::Error,
}

/// SQLSTATE of a write in a transaction that only reads: the server is a standby, or read-only.
pub const READ_ONLY: &str = "25006";

/// The result of PostgreSQL work.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Names what was being done when a driver call failed.
pub trait Doing<T> {
    /// Wraps the driver's error.
    ///
    /// # Errors
    /// The same failure, as [`Error`].
    fn doing(self, what: &'static str) -> Result<T>;
}

impl<T> Doing<T> for std::result::Result<T, sqlx::Error> {
    fn doing(self, what: &'static str) -> Result<T> {
        self.map_err(|source| Error { doing: what, source })
    }
}

impl Error {
    /// Work that did not end within its time.
    #[must_use]
    pub fn timed_out(doing: &'static str) -> Self {
        Self { doing, source: sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()) }
    }

    /// The five-character SQLSTATE, when the server sent one.
    #[must_use]
    pub fn sqlstate(&self) -> Option<String> {
        sqlstate_of(&self.source)
    }

    /// The server sent exactly this SQLSTATE.
    #[must_use]
    pub fn is(&self, sqlstate: &str) -> bool {
        self.sqlstate().as_deref() == Some(sqlstate)
    }

    /// The server could not be reached, as opposed to having refused.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        match self.sqlstate() {
            // Cannot connect now, shut-downs, connection exceptions, crash of another backend, too many connections.
            Some(code) => code.starts_with("08") || matches!(code.as_str(), "57P01" | "57P02" | "57P03" | "57P05" | "53300"),
            None => {
                !self.is_tls()
                    && !matches!(
                        self.source,
                        sqlx::Error::RowNotFound
                            | sqlx::Error::ColumnDecode { .. }
                            | sqlx::Error::ColumnNotFound(_)
                            | sqlx::Error::Decode(_)
                            | sqlx::Error::Encode(_)
                            | sqlx::Error::Configuration(_)
                            // Every connection was busy, or none could be made: our own load causes this too.
                            | sqlx::Error::PoolTimedOut
                    )
            }
        }
    }

    /// Transport security was not agreed on: the server has none, or its certificate does not verify.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        match &self.source {
            sqlx::Error::Tls(_) => true,
            // Errors of the handshake arrive as errors of the socket.
            sqlx::Error::Io(error) => error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).is_some(),
            _ => false,
        }
    }

    /// Why transport security was not agreed on, in words for a person. None where there are none.
    #[must_use]
    pub fn tls_cause(&self) -> Option<&'static str> {
        match &self.source {
            // The driver's own words; it has no type for this.
            sqlx::Error::Tls(error) if error.to_string() == "server does not support TLS" => Some("the server offers no TLS"),
            sqlx::Error::Tls(error) => error.downcast_ref::<rustls::Error>().and_then(tls::cause),
            sqlx::Error::Io(error) => error.get_ref()?.downcast_ref::<rustls::Error>().and_then(tls::cause),
            _ => None,
        }
    }

    /// The one classification of PostgreSQL errors (PostgreSQL manual, appendix A).
    #[must_use]
    pub fn class(&self) -> Class {
        let Some(code) = self.sqlstate() else { return if self.is_tls() { Class::Denied } else { class_without_sqlstate(&self.source) } };
        match code.as_str() {
            // XX000 is "tuple concurrently updated" of concurrent GRANT and ALTER, or a failed checkpoint: both pass.
            "40001" | "40P01" | "55P03" | "55006" | "23505" | "42P04" | "42710" | "55000" | "XX000" | "0A000" => Class::Contended,
            "42501" | "28000" | "28P01" => Class::Denied,
            // Of class 25 only these pass: a server that is read-only for a while, and time-outs of transactions.
            "3D000" | READ_ONLY | "25P03" | "25P04" => Class::Transient,
            _ => match &code[..2] {
                "08" | "53" | "57" | "58" => Class::Transient,
                "22" | "23" | "2B" | "42" | "P0" => Class::Invalid,
                _ => Class::Bug,
            },
        }
    }
}

fn sqlstate_of(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).filter(|code| code.len() == 5).map(std::borrow::Cow::into_owned)
}

fn class_without_sqlstate(error: &sqlx::Error) -> Class {
    match error {
        sqlx::Error::Configuration(_) => Class::Denied,
        sqlx::Error::RowNotFound
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::Decode(_)
        | sqlx::Error::Encode(_) => Class::Bug,
        _ => Class::Transient,
    }
}
