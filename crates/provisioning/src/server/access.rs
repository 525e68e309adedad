//! Who may enter a school's database: opening, closing and barring it, and creating its login and setting its password.
//!
//! Each function is one transaction under the advisory lock of the database's name. It checks the ownership comment there, and writes only what differs.
//! Must not touch a database or login without our ownership comment.

use domain::names::SchoolUid;
use sqlx::postgres::PgPool;

use super::ownership::{LoginComment, OwnershipComment as _};
use super::password::{self, SentPassword};
use super::session_guard::SessionGuard;
use super::sessions::{self, SessionScope};
use super::{Result, TenantObjects, send, sql};

/// Lets the login and the migrator enter, and nobody else; revokes whatever else the login or other roles were given.
///
/// # Errors
/// [`super::Error::Gone`], [`super::Error::NotOurs`] for database or login; [`super::Error::Interrupted`]; `Denied` when undoing a change needs rights
/// that the admin lacks (those of a superuser).
pub async fn open(pool: &PgPool, objects: &TenantObjects, connection_limit: u16) -> Result<()> {
    guarded(pool, objects, sql::open(objects, connection_limit), "opening the database").await
}

/// Takes LOGIN and CONNECT from the login and ends its sessions; the migrator may still enter. After it no session of the login is left. Of a database that
/// is not ours nothing is changed.
///
/// # Errors
/// As [`open`], except that a missing or foreign login is no error, nor a missing or foreign database while the login is ours;
/// [`super::Error::SessionsRemain`].
pub async fn close(pool: &PgPool, objects: &TenantObjects) -> Result<()> {
    let mut conn = SessionGuard::acquire(pool, "closing the database").await?;
    send::guarded(&mut conn, objects, sql::close(objects), "closing the database").await?;
    sessions::end(&mut conn, SessionScope::Login { name: objects.login.as_str(), database: objects.database.as_str() }).await?;
    conn.release();
    Ok(())
}

/// Lets nobody enter, superusers included, and ends every session in the database.
///
/// # Errors
/// As [`close`].
pub async fn bar(pool: &PgPool, objects: &TenantObjects) -> Result<()> {
    let mut conn = SessionGuard::acquire(pool, "barring the database").await?;
    send::guarded(&mut conn, objects, sql::bar(objects), "barring the database").await?;
    sessions::end(&mut conn, SessionScope::Database { name: objects.database.as_str(), login: Some(objects.login.as_str()) }).await?;
    conn.release();
    Ok(())
}

/// Creates a lost login again, without LOGIN and without a password; [`set_password`] and [`open`] give it those.
///
/// # Errors
/// [`super::Error::NotOurs`] when a foreign role has the name; [`super::Error::Gone`] when the database does not exist.
pub async fn restore_login(pool: &PgPool, objects: &TenantObjects, school: SchoolUid) -> Result<()> {
    let comment = login_comment(objects, school, String::new());
    guarded(pool, objects, sql::restore_login(objects, &comment.text()), "restoring the login").await
}

/// Gives the login the password, and writes the password's `fingerprint` into its ownership comment.
///
/// # Errors
/// [`super::Error::Gone`] or [`super::Error::NotOurs`] for the login; [`super::Error::PasswordRefused`]; [`super::Error::Unencrypted`].
pub async fn set_password(
    pool: &PgPool,
    objects: &TenantObjects,
    school: SchoolUid,
    password: &SentPassword,
    fingerprint: &str,
) -> Result<()> {
    password::beyond_a_collision(|| try_password(pool, objects, school, password, fingerprint)).await
}

async fn try_password(pool: &PgPool, objects: &TenantObjects, school: SchoolUid, password: &SentPassword, fingerprint: &str) -> Result<()> {
    let doing = "setting the login's password";
    let comment = login_comment(objects, school, fingerprint.to_owned());
    let mut conn = SessionGuard::acquire(pool, doing).await?;
    send::guarded(&mut conn, objects, format!("BEGIN; {}", sql::expect_login(objects)), doing).await?;
    password.protect(&mut conn).await?;
    let login = objects.login.as_str();
    let change = sql::set_password(login, password.text(), &comment.text());
    if let Err(error) = send::commit(&mut conn, change, password.form(), doing).await {
        return Err(password.refusal(&mut conn, error, login).await);
    }
    conn.release();
    Ok(())
}

pub(super) fn login_comment(objects: &TenantObjects, school: SchoolUid, password: String) -> LoginComment {
    LoginComment { tenant: objects.tenant, school, cluster: objects.cluster, password }
}

async fn guarded(pool: &PgPool, objects: &TenantObjects, block: String, doing: &'static str) -> Result<()> {
    let mut conn = SessionGuard::acquire(pool, doing).await?;
    send::guarded(&mut conn, objects, block, doing).await?;
    conn.release();
    Ok(())
}
