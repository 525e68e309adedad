//! Dropping a school's database and login.
//!
//! Must only be called after a fresh read of the School. The ownership comment is checked here again, and that the database is closed. `DROP DATABASE` cannot
//! run in a transaction, so a session's advisory lock keeps others out between the check and the drop.

use sqlx::postgres::PgPool;

use super::session_guard::SessionGuard;
use super::sessions::{self, SessionScope};
use super::{Error, Object, Result, TenantObjects, send, sql};

/// Drops a closed database, or finishes an interrupted drop. Does nothing when the database is gone.
///
/// # Errors
/// [`Error::NotOurs`], [`Error::NotClosed`], [`Error::SessionsRemain`].
pub async fn drop_database(pool: &PgPool, objects: &TenantObjects) -> Result<()> {
    let name = objects.database.as_str();
    let mut conn = SessionGuard::acquire(pool, "dropping the database").await?;
    send::send(&mut conn, sql::advisory_lock(name), "waiting for the database's lock").await?;
    match send::guarded(&mut conn, objects, sql::bar_closed(objects), "barring the database").await {
        Ok(()) => sessions::end(&mut conn, SessionScope::Database { name, login: Some(objects.login.as_str()) }).await?,
        // It has no sessions, and no other statement works on it.
        Err(Error::Interrupted { .. }) => {}
        Err(Error::Gone { object: Object::Database, .. }) => return release(conn, name).await,
        Err(error) => return Err(error),
    }
    send::send_long(&mut conn, sql::drop_database(name), "dropping the database").await?;
    release(conn, name).await
}

/// Drops the login of a database that is gone. Does nothing when the login is gone.
///
/// # Errors
/// [`Error::DatabaseExists`], [`Error::NotOurs`]; SQLSTATE 2BP01 when the role was given objects or rights elsewhere.
pub async fn drop_login(pool: &PgPool, objects: &TenantObjects) -> Result<()> {
    let mut conn = SessionGuard::acquire(pool, "dropping the login").await?;
    send::guarded(&mut conn, objects, sql::drop_login(objects), "dropping the login").await?;
    conn.release();
    Ok(())
}

/// Neither database nor login of this School exists. Waits for a claim that is under way, so that none can make them afterwards for an operator that has ended.
///
/// # Errors
/// When PostgreSQL fails, or such a claim takes longer than a lock is waited for.
pub async fn nothing_left(pool: &PgPool, objects: &TenantObjects) -> Result<bool> {
    let doing = "looking for what is left of a school";
    let mut conn = SessionGuard::acquire(pool, doing).await?;
    let outcome = send::outcome(&mut conn, sql::need_nothing(objects), doing).await?;
    conn.release();
    match outcome.as_str() {
        "done" => Ok(true),
        "something left" => Ok(false),
        _ => Err(Error::UnexpectedAnswer { doing }),
    }
}

async fn release(mut conn: SessionGuard, name: &str) -> Result<()> {
    send::send(&mut conn, sql::advisory_unlock(name), "releasing the database's lock").await?;
    conn.release();
    Ok(())
}
