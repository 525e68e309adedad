//! The API's login to the master database: made where it is missing, and given the password that the API's own URL holds.
//!
//! Must not touch a role that is anything but a member of [`API`], nor send a password: the server gets a SCRAM verifier.

use postgres::error::Doing as _;
use postgres::quote::{Ident, Literal};
use postgres::session::{self, Credentials, Purpose};
use postgres::url::Target;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::bootstrap::{API, OPERATOR, close, connect_patiently, lock};
use super::{Error, Result};

/// What had to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ensured {
    /// It logs in already; nothing was written.
    Already,
    /// It was made.
    Made,
    /// It has the password now.
    PasswordSet,
}

/// One role of this name: whether it is a login of the API's and nothing more.
const SEEN: &str = "
    SELECT rolcanlogin AND NOT (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)
           AND pg_has_role(oid, $2::name, 'USAGE') AND NOT pg_has_role(oid, $3::name, 'MEMBER')
    FROM pg_roles WHERE rolname = $1";

/// Sees to it that `login` opens the prepared master database of `target`, whose own login is an admin, as a member of [`API`]. `verifier` is its
/// password's, for the server.
///
/// # Errors
/// [`Error::LoginTaken`] for a role that is something else; when the server does not answer or the admin lacks a right.
pub async fn ensure(target: &Target, login: &Credentials, verifier: &SecretString) -> Result<Ensured> {
    let options = session::options(&target.endpoint, &target.credentials, &target.database, Purpose::Operator);
    let mut conn = connect_patiently(options, "connecting to the master database").await?;
    lock(&mut conn, "waiting for another operator to make the API's login").await?;
    let ensured = ensure_on(&mut conn, target, login, verifier).await;
    close(conn).await;
    ensured
}

async fn ensure_on(conn: &mut PgConnection, target: &Target, login: &Credentials, verifier: &SecretString) -> Result<Ensured> {
    let look = sqlx::query_scalar(SEEN).bind(&login.username).bind(API).bind(OPERATOR);
    let seen: Option<bool> = look.fetch_optional(&mut *conn).await.doing("looking for the API's login")?;
    let (name, verifier) = (Ident(&login.username), Literal(verifier.expose_secret()));
    let (statement, doing, ensured) = match seen {
        Some(false) => return Err(Error::LoginTaken),
        Some(true) if opens(target, login).await? => return Ok(Ensured::Already),
        Some(true) => (format!("ALTER ROLE {name} PASSWORD {verifier}"), "setting the password of the API's login", Ensured::PasswordSet),
        None => {
            let create = format!("CREATE ROLE {name} LOGIN PASSWORD {verifier} IN ROLE {}", Ident(API));
            (create, "creating the API's login", Ensured::Made)
        }
    };
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(conn).await.doing(doing)?;
    Ok(ensured)
}

/// Whether it logs in from here. A server that lets it in from elsewhere only is one that refuses it here: the password is set once more, which changes nothing.
async fn opens(target: &Target, login: &Credentials) -> postgres::Result<bool> {
    let options = session::options(&target.endpoint, login, &target.database, Purpose::Registry);
    match session::connect(&options, "logging in as the API").await {
        Ok(conn) => {
            close(conn).await;
            Ok(true)
        }
        Err(error) if error.is("28P01") || error.is("28000") => Ok(false),
        Err(error) => Err(error),
    }
}
