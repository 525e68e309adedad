//! Whether a school's login can log in with the password in its Secret, found out by logging in.
//!
//! Must not take a server that cannot be asked for one that refuses: it may refuse this host, or be full. Changes nothing.

use postgres::session::{self, Credentials, Endpoint, Purpose};
use sqlx::Connection as _;

/// What came of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// It works.
    Works,
    /// The password is wrong.
    Refused,
    /// That could not be found out.
    Unknown,
}

/// Logs in to a school's database as its own login, and out again.
pub async fn try_login(endpoint: &Endpoint, login: &Credentials, database: &str) -> Login {
    let options = session::options(endpoint, login, database, Purpose::School);
    match session::connect(&options, "logging in as the school").await {
        Ok(conn) => {
            // It works, whether or not the session ends cleanly.
            let _ = tokio::time::timeout(session::CONNECT_TIMEOUT, conn.close()).await;
            Login::Works
        }
        Err(error) if error.is("28P01") => Login::Refused,
        Err(_) => Login::Unknown,
    }
}
