//! The API's login to the master database: created when it is missing, and given the password in the API's own URL.
//!
//! Must not change a role that is more than a member of [`API`], and must not send a password: the server gets a SCRAM verifier.

use postgres::error::Doing as _;
use postgres::quote::{Ident, Literal};
use postgres::session::{self, Credentials, Purpose};
use postgres::url::Target;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::admin_session::{close, connect_patiently, lock};
use super::bootstrap::{API, OPERATOR};
use super::{Error, Result};

/// What had to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ensured {
    /// It can log in already; nothing was written.
    Already,
    /// It was created.
    Made,
    /// It was given the password.
    PasswordSet,
}

/// Whether the role of this name is a login of the API's and nothing more.
const IS_API_LOGIN: &str = "
    SELECT rolcanlogin AND NOT (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)
           AND pg_has_role(oid, $2::name, 'USAGE') AND NOT pg_has_role(oid, $3::name, 'MEMBER')
    FROM pg_roles WHERE rolname = $1";

/// Makes sure that `login` can enter the prepared master database of `target` as a member of [`API`]. The login in `target` is an admin; `verifier` is what
/// the server stores for the password of `login`.
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
    let query = sqlx::query_scalar(IS_API_LOGIN).bind(&login.username).bind(API).bind(OPERATOR);
    let is_api_login: Option<bool> = query.fetch_optional(&mut *conn).await.doing("observing the API's login")?;
    let (name, verifier) = (Ident(&login.username), Literal(verifier.expose_secret()));
    let (statement, doing, ensured) = match is_api_login {
        Some(false) => return Err(Error::LoginTaken),
        Some(true) if can_log_in(target, login).await? => return Ok(Ensured::Already),
        Some(true) => (format!("ALTER ROLE {name} PASSWORD {verifier}"), "setting the password of the API's login", Ensured::PasswordSet),
        None => {
            let create = format!("CREATE ROLE {name} LOGIN PASSWORD {verifier} IN ROLE {}", Ident(API));
            (create, "creating the API's login", Ensured::Made)
        }
    };
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(conn).await.doing(doing)?;
    Ok(ensured)
}

/// Whether it can log in from here. A server that only accepts it from other hosts refuses it here: then the password is set again, which changes nothing.
async fn can_log_in(target: &Target, login: &Credentials) -> postgres::Result<bool> {
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
