//! Who may enter a school's database: opening, closing and barring it, and its login's existence and password.
//!
//! Each function is one transaction under the advisory lock of the database's name, with the mark checked in it, and writes only what differs.

use domain::names::SchoolUid;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::PgPool;

use super::borrow::Borrowed;
use super::mark::{LoginMark, Mark as _};
use super::sessions::{self, Whose};
use super::{Holding, Result, send, sql};

/// Lets the login and the migrator in, and nobody else; takes away whatever else anybody gave the login or others.
///
/// # Errors
/// [`super::Error::Gone`], [`super::Error::NotOurs`] for database or login; [`super::Error::Interrupted`]; `Denied` when undoing a change needs rights
/// that the admin lacks (a superuser's attributes and grants).
pub async fn open(pool: &PgPool, holding: &Holding, connection_limit: u16) -> Result<()> {
    guarded(pool, holding, sql::open(holding, connection_limit), "opening the database").await
}

/// Takes LOGIN and CONNECT from the login and ends its sessions; the migrator may still enter. When it returns, no session of the login is left.
///
/// # Errors
/// As [`open`], but a missing or foreign login is none; [`super::Error::SessionsRemain`].
pub async fn close(pool: &PgPool, holding: &Holding) -> Result<()> {
    let mut conn = Borrowed::from(pool, "closing the database").await?;
    send::guarded(&mut conn, holding, sql::close(holding), "closing the database").await?;
    sessions::end(&mut conn, Whose::Login { name: holding.login.as_str(), database: holding.database.as_str() }).await?;
    conn.give_back();
    Ok(())
}

/// Lets nobody in, superusers included, and ends every session in the database.
///
/// # Errors
/// As [`close`].
pub async fn bar(pool: &PgPool, holding: &Holding) -> Result<()> {
    let mut conn = Borrowed::from(pool, "barring the database").await?;
    send::guarded(&mut conn, holding, sql::bar(holding), "barring the database").await?;
    sessions::end(&mut conn, Whose::Database { name: holding.database.as_str(), login: Some(holding.login.as_str()) }).await?;
    conn.give_back();
    Ok(())
}

/// Makes a lost login again, without LOGIN and without a password; [`set_password`] and [`open`] do the rest.
///
/// # Errors
/// [`super::Error::NotOurs`] when a foreign role has the name; [`super::Error::Gone`] when the database is not there.
pub async fn restore_login(pool: &PgPool, holding: &Holding, school: SchoolUid) -> Result<()> {
    let mark = login_mark(holding, school, String::new());
    guarded(pool, holding, sql::restore_login(holding, &mark.text()), "restoring the login").await
}

/// Gives the login the password that `verifier` stands for, and its `fingerprint` to its mark.
///
/// # Errors
/// [`super::Error::Gone`] or [`super::Error::NotOurs`] for the login.
pub async fn set_password(pool: &PgPool, holding: &Holding, school: SchoolUid, verifier: &SecretString, fingerprint: &str) -> Result<()> {
    let doing = "setting the login's password";
    let mark = login_mark(holding, school, fingerprint.to_owned());
    let mut conn = Borrowed::from(pool, doing).await?;
    send::guarded(&mut conn, holding, format!("BEGIN; {}", sql::expect_login(holding)), doing).await?;
    let change = sql::set_password(holding.login.as_str(), verifier.expose_secret(), &mark.text());
    send::send(&mut conn, format!("{change}; COMMIT"), doing).await?;
    conn.give_back();
    Ok(())
}

pub(super) fn login_mark(holding: &Holding, school: SchoolUid, password: String) -> LoginMark {
    LoginMark { tenant: holding.tenant, school, cluster: holding.cluster, password }
}

async fn guarded(pool: &PgPool, holding: &Holding, block: String, doing: &'static str) -> Result<()> {
    let mut conn = Borrowed::from(pool, doing).await?;
    send::guarded(&mut conn, holding, block, doing).await?;
    conn.give_back();
    Ok(())
}
