//! Why there is no connection. Must not show credentials.

use std::time::Duration;

/// Each variant needs another reaction of the caller.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection became free in time, too many requests wait already, or the server has no connection left. Try again soon.
    #[error("waiting for a connection to the school's database found none free")]
    Exhausted {
        /// The server's own refusal, when it was the server.
        #[source]
        source: Option<postgres::Error>,
    },
    /// Too many requests of this tenant wait already.
    #[error("too many requests of this school wait for a connection")]
    Busy,
    /// The server did not answer, or with an error that shows it does not work.
    #[error("the school's database cannot be reached")]
    Unreachable(#[source] postgres::Error),
    /// The login was refused: the credentials are stale, or the role may not log in.
    #[error("the school's database refused the login")]
    Refused(#[source] postgres::Error),
    /// The route is out of date: a newer one is known, or the database is gone, closed or barred. Fetch it again.
    #[error("the route to the school's database is out of date")]
    Stale,
    /// The last connects failed, so the circuit breaker allows none now.
    #[error("the school's database could not be reached before, and is not tried again yet")]
    BreakerOpen {
        /// When to try again.
        retry_after: Duration,
        /// The credentials of this epoch were refused; those of a newer one are tried at once.
        refused: bool,
    },
    /// This process is stopping.
    #[error("connections to schools' databases are being closed")]
    Stopping,
}

impl Error {
    /// Classifies an error of connecting.
    pub(super) fn connecting(error: postgres::Error) -> Self {
        match error.sqlstate().as_deref() {
            Some(code) if code.starts_with("28") => Self::Refused(error),
            // No such database; not accepting connections; no CONNECT.
            Some("3D000" | "55000" | "42501") => Self::Stale,
            Some("53300") => Self::Exhausted { source: Some(error) },
            _ => Self::Unreachable(error),
        }
    }
}
