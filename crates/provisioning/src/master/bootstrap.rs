//! Creating and migrating the master database: roles, database, rights, schema.
//!
//! Any number of operators may start at the same time, on any state that an interrupted one left. Must not write anything when nothing is missing.

mod parts;

use std::time::Duration;

use postgres::error::Doing as _;
use postgres::schema::Migrations;
use postgres::session::{self, Purpose};
use postgres::url::Target;
use registry::ANSWER;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use self::parts::{OBSERVING, PARTS};
use super::admin_session::{close, connect_patiently, lock};
use super::{Error, Result};

/// Owns the master database and writes it; NOLOGIN.
pub const OPERATOR: &str = "dailycare_operator";
/// Reads tenants and users for the API; NOLOGIN, the API's login is a member.
pub const API: &str = "dailycare_api";

/// Connections of an operator to the master database.
const POOL_SIZE: u32 = 8;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);
/// For another operator to finish, and for slow disks.
const PATIENCE: Duration = Duration::from_mins(10);

/// Creates and migrates the master database as far as needed, and opens a bounded pool to it whose sessions are `dailycare_operator`. The target's
/// login is an admin: a superuser, or one with CREATEDB and CREATEROLE.
///
/// # Errors
/// When the server does not answer, the admin lacks a right, or the database's records of migrations do not fit `migrations`.
pub async fn bootstrap(target: &Target, migrations: &Migrations) -> Result<PgPool> {
    if !within(ANSWER, OBSERVING, is_prepared(target)).await? {
        within(PATIENCE, "preparing the master database", prepare(target)).await?;
    }
    let options =
        session::options(&target.endpoint, &target.credentials, &target.database, Purpose::Registry).options([("role", OPERATOR)]);
    // A frozen operator must not hold the lock of the migrations.
    let migrating = options.clone().options([("idle_session_timeout", session::IDLE_LIMIT)]);
    within(PATIENCE, "migrating the master database", migrate(&migrating, migrations)).await?;
    let pool = PgPoolOptions::new().max_connections(POOL_SIZE).acquire_timeout(ACQUIRE_TIMEOUT).idle_timeout(IDLE_TIMEOUT);
    Ok(pool.connect_with(options).await.doing("connecting to the master database")?)
}

/// Asks in the master database itself, so that a restart needs no other connection.
async fn is_prepared(target: &Target) -> Result<bool> {
    let options = session::options(&target.endpoint, &target.credentials, &target.database, Purpose::Operator);
    match session::connect(&options, "connecting to the master database").await {
        Ok(mut conn) => {
            let missing = parts::missing(&mut conn, &target.database).await?;
            close(conn).await;
            Ok(missing.is_empty())
        }
        // It does not exist, or this admin may not enter it yet.
        Err(error) if error.is("3D000") || error.is("42501") => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Creates what is missing, from the maintenance database, because all of it belongs to the whole server.
async fn prepare(target: &Target) -> Result<()> {
    let options = session::options(&target.endpoint, &target.credentials, "postgres", Purpose::Operator);
    let mut conn = connect_patiently(options, "connecting to the maintenance database").await?;
    lock(&mut conn, "waiting for another operator to prepare the master database").await?;
    for (part, _) in PARTS {
        if parts::missing(&mut conn, &target.database).await?.iter().any(|(missing, _)| *missing == part) {
            parts::create(&mut conn, part, &target.database).await?;
        }
    }
    let missing = parts::missing(&mut conn, &target.database).await?;
    close(conn).await;
    missing.first().map_or(Ok(()), |(_, missing)| Err(Error::Unprepared { missing }))
}

/// Applies what is missing, one session a file, one operator at a time.
async fn migrate(options: &PgConnectOptions, migrations: &Migrations) -> Result<()> {
    let mut conn = connect_patiently(options.clone(), "connecting to the master database").await?;
    if migrations.applied(&mut conn).await? < migrations.target() {
        lock(&mut conn, "waiting for another operator to migrate the master database").await?;
        let mut version = migrations.applied(&mut conn).await?;
        while let Some(migration) = migrations.next_after(version) {
            let patient = options.clone().options([("statement_timeout", "5min")]);
            let mut session = session::connect(&patient, "connecting to the master database").await?;
            migrations.apply(&mut session, migration, None).await?;
            close(session).await;
            version = migration.version;
        }
    }
    close(conn).await;
    Ok(())
}

/// The server's own time-outs are shorter, so this one ends the work only when the server or the network is gone.
async fn within<T>(limit: Duration, doing: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(postgres::Error::timed_out(doing).into()))
}
