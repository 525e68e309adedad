//! Sending statements with a time limit for the answer, and reading the outcome that a block names.
//!
//! Must read every answer to its end: an error at commit comes last.

use std::pin::pin;
use std::time::Duration;

use domain::server::PasswordForm;
use postgres::error::Doing as _;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _};

use super::{Error, Object, Result, TenantObjects};

/// Longer than a session's `statement_timeout`, so that the server's own time-out comes first unless the server or the network is gone.
const ANSWER: Duration = Duration::from_secs(40);
/// Far shorter than [`postgres::session::IDLE_LIMIT`].
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);
/// For copying and dropping databases, which wait for disks.
pub(super) const LONG: Duration = Duration::from_mins(15);

/// The future's answer, or a time-out. A connection whose answer did not come must not be used again; a [`super::session_guard::SessionGuard`] closes it.
pub(super) async fn within<T, E: Into<Error>>(
    limit: Duration,
    doing: &'static str,
    work: impl Future<Output = std::result::Result<T, E>>,
) -> Result<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result.map_err(Into::into),
        Err(_) => Err(postgres::Error::timed_out(doing).into()),
    }
}

/// The outcome of `work`, while the session that holds its lock is not idle: the server ends idle sessions, so that a frozen process holds no lock for long.
pub(super) async fn meanwhile<T>(conn: &mut PgConnection, work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut work = pin!(work);
    let mut ticks = tokio::time::interval(SIGN_OF_LIFE);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = ticks.tick() => send(conn, "SELECT 1".to_owned(), "keeping the session of a lock").await?,
        };
    }
}

/// The driver's answer to a short query.
pub(super) async fn answer<T>(doing: &'static str, query: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T> {
    within(ANSWER, doing, async { query.await.doing(doing) }).await
}

/// Statements without parameters, in one message; all rows of all of them.
pub(super) async fn send(conn: &mut PgConnection, statements: String, doing: &'static str) -> Result<Vec<PgRow>> {
    answer(doing, sqlx::raw_sql(AssertSqlSafe(statements)).fetch_all(conn)).await
}

/// Statements that set a password in this form, and the end of their transaction: one message. With a plain password two, because `COMMIT` would bring back what
/// keeps the whole message out of the server's log.
pub(super) async fn commit(conn: &mut PgConnection, statements: String, form: PasswordForm, doing: &'static str) -> Result<()> {
    match form {
        PasswordForm::Verifier => send(conn, format!("{statements}; COMMIT"), doing).await.map(drop),
        PasswordForm::Plain => {
            send(conn, statements, doing).await?;
            send(conn, "COMMIT".to_owned(), doing).await.map(drop)
        }
    }
}

/// A statement that cannot be part of a transaction and may take long: interrupting it leaves a broken database or wastes the work.
pub(super) async fn send_long(conn: &mut PgConnection, statement: String, doing: &'static str) -> Result<()> {
    send(conn, format!("SET statement_timeout = {}", LONG.as_millis()), doing).await?;
    within(LONG + ANSWER, doing, async { sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *conn).await.doing(doing) }).await?;
    // Back to what the session was opened with.
    send(conn, "RESET statement_timeout".to_owned(), doing).await.map(drop)
}

/// A block of [`super::sql`], and the word that it ended with.
pub(super) async fn outcome(conn: &mut PgConnection, block: String, doing: &'static str) -> Result<String> {
    let rows = send(conn, block, doing).await?;
    rows.last().and_then(|row| row.try_get(0).ok()).ok_or(Error::UnexpectedAnswer { doing })
}

/// A guarded block: done, or the error that its outcome names.
pub(super) async fn guarded(conn: &mut PgConnection, objects: &TenantObjects, block: String, doing: &'static str) -> Result<()> {
    let (database, login) = (objects.database.to_string(), objects.login.to_string());
    Err(match outcome(conn, block, doing).await?.as_str() {
        "done" => return Ok(()),
        "database gone" => Error::Gone { object: Object::Database, name: database },
        "database foreign" => Error::NotOurs { object: Object::Database, name: database },
        "database interrupted" => Error::Interrupted { name: database },
        "database open" => Error::NotClosed { name: database },
        "database exists" => Error::DatabaseExists { login, database },
        "rights remain" => Error::RightsRemain { name: database },
        "login gone" => Error::Gone { object: Object::Login, name: login },
        "login foreign" => Error::NotOurs { object: Object::Login, name: login },
        _ => Error::UnexpectedAnswer { doing },
    })
}
