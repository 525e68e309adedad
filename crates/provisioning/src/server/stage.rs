//! Staging: copies of a template that belong to no school and are ready to be claimed. After a crash the next claim uses the spare that was left.
//!
//! Must not name a school: a spare belongs to none.

use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnection, PgPool};
use uuid::Builder;

use super::session_guard::SessionGuard;
use super::sessions::{self, SessionScope};
use super::{Error, Object, Result, send, sql, template};

/// Makes one spare of the schema with this digest, and returns its name. It takes tens of milliseconds; run about four at once on a server.
///
/// # Errors
/// [`Error::Gone`] when the template is not built.
pub async fn stage(pool: &PgPool, digest: &str) -> Result<String> {
    let doing = "staging a database";
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| Error::NoRandomness)?;
    let name = format!("{}{}", sql::spare_prefix(digest), Builder::from_random_bytes(random).into_uuid().simple());
    let template = template::name(digest);
    let mut conn = SessionGuard::acquire(pool, doing).await?;
    let mut created = send::send_long(&mut conn, sql::create_spare(&name, &template), doing).await;
    if matches!(&created, Err(Error::Sql(error)) if error.is("55006")) {
        // A superuser is in the template, where nobody has anything to do.
        sessions::end(&mut conn, SessionScope::Database { name: &template, login: None }).await?;
        created = send::send_long(&mut conn, sql::create_spare(&name, &template), doing).await;
    }
    match created {
        Err(Error::Sql(error)) if error.is("3D000") => Err(Error::Gone { object: Object::Template, name: template }),
        Err(error) => Err(error),
        Ok(()) => {
            conn.release();
            Ok(name)
        }
    }
}

/// How many spares of the schema with this digest there are, including those that are being claimed.
///
/// # Errors
/// When the catalog cannot be read.
pub async fn spares(conn: &mut PgConnection, digest: &str) -> Result<u32> {
    let doing = "counting staged databases";
    let prefix = sql::spare_prefix(digest);
    let count = format!("SELECT count(*) FROM pg_database WHERE {} AND starts_with(datname, $1)", sql::is_spare("pg_database"));
    let count: i64 = send::answer(doing, sqlx::query_scalar(AssertSqlSafe(count)).bind(prefix).fetch_one(conn)).await?;
    u32::try_from(count).map_err(|_| Error::UnexpectedAnswer { doing })
}
