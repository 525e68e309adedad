//! A session in a school's database or a template, as the migrator that acts as the schemas' owner.
//!
//! Must not apply anything: `migrate` and `template` do.

use postgres::session::{self, Credentials, Endpoint, Purpose};
use sqlx::postgres::PgConnection;

use super::{Error, OWNER, Result, send};

/// Logs in as the migrator.
///
/// # Errors
/// When the server refuses the login, or [`Error::WrongRole`] when the session does not act as [`OWNER`].
pub(super) async fn open(endpoint: &Endpoint, migrator: &Credentials, database: &str) -> Result<PgConnection> {
    let doing = "logging in as the migrator";
    let mut conn = session::connect(&session::options(endpoint, migrator, database, Purpose::Migrator), doing).await?;
    let found: String = send::answer(doing, sqlx::query_scalar("SELECT current_user::text").fetch_one(&mut conn)).await?;
    if found == OWNER { Ok(conn) } else { Err(Error::WrongRole { found }) }
}
