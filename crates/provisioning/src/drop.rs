//! Dropping a school's database and login.
//!
//! Must only be asked for when a fresh read of the School says so; here the mark and the closed door are checked again. `DROP DATABASE` cannot run in a
//! transaction, so the check and the drop are held together by a session's advisory lock.

use sqlx::postgres::PgPool;

use super::borrow::Borrowed;
use super::sessions::{self, Whose};
use super::{Error, Holding, Object, Result, send, sql};

/// Drops a closed database, or finishes an interrupted drop. A database that is gone is fine.
///
/// # Errors
/// [`Error::NotOurs`], [`Error::NotClosed`], [`Error::SessionsRemain`].
pub async fn drop_database(pool: &PgPool, holding: &Holding) -> Result<()> {
    let name = holding.database.as_str();
    let mut conn = Borrowed::from(pool, "dropping the database").await?;
    send::send(&mut conn, sql::hold(name), "waiting for the database's lock").await?;
    match send::guarded(&mut conn, holding, sql::bar_closed(holding), "barring the database").await {
        Ok(()) => sessions::end(&mut conn, Whose::Database { name, login: Some(holding.login.as_str()) }).await?,
        // Nobody can be in it, and no other statement works on it.
        Err(Error::Interrupted { .. }) => {}
        Err(Error::Gone { object: Object::Database, .. }) => return release(conn, name).await,
        Err(error) => return Err(error),
    }
    send::send_long(&mut conn, sql::drop_database(name), "dropping the database").await?;
    release(conn, name).await
}

/// Drops the login of a database that is gone. A login that is gone is fine.
///
/// # Errors
/// [`Error::DatabaseExists`], [`Error::NotOurs`]; SQLSTATE 2BP01 when the role was given objects or rights elsewhere.
pub async fn drop_login(pool: &PgPool, holding: &Holding) -> Result<()> {
    let mut conn = Borrowed::from(pool, "dropping the login").await?;
    send::guarded(&mut conn, holding, sql::drop_login(holding), "dropping the login").await?;
    conn.give_back();
    Ok(())
}

async fn release(mut conn: Borrowed, name: &str) -> Result<()> {
    send::send(&mut conn, sql::release(name), "giving back the database's lock").await?;
    conn.give_back();
    Ok(())
}
