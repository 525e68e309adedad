//! Claiming: a staged database becomes a school's, with login, rights and marks, in one transaction. Either all of it stands or nothing happened.

use domain::names::SchoolUid;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::PgPool;

use super::access::login_mark;
use super::borrow::Borrowed;
use super::mark::{DatabaseMark, Mark as _};
use super::{Holding, Result, send, sql};

/// What a school's new database and login are to be.
#[derive(Debug)]
pub struct Claim<'a> {
    /// Names and owner.
    pub holding: &'a Holding,
    /// The School object.
    pub school: SchoolUid,
    /// The schema version of the spare.
    pub schema: u32,
    /// The digest of that version, 64 hexadecimal characters; only a spare of this digest is taken.
    pub digest: &'a str,
    /// The login's SCRAM verifier; see [`super::scram::verifier`].
    pub verifier: &'a SecretString,
    /// The keyed fingerprint of the same password.
    pub fingerprint: &'a str,
    /// `CONNECTION LIMIT` of the login.
    pub connection_limit: u16,
}

/// What came of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The school has its database and login, open.
    Now,
    /// No spare was free; nothing happened.
    NoSpare,
    /// A database or role of a wanted name exists, whoever's it is; nothing happened.
    AlreadyThere,
}

/// Claims a spare: two messages, the second of which commits. Claims that run at once take different spares and do not wait for one another.
///
/// # Errors
/// When PostgreSQL fails. If the connection broke at the end, the claim may stand: look again.
pub async fn claim(pool: &PgPool, claim: &Claim<'_>) -> Result<Claimed> {
    let (database, login) = (claim.holding.database.as_str(), claim.holding.login.as_str());
    let mut conn = Borrowed::from(pool, "claiming a database").await?;
    let choose = format!("BEGIN; {}", sql::choose_spare(database, login, claim.digest));
    let spare = match send::outcome(&mut conn, choose, "looking for a staged database").await?.as_str() {
        "taken" => return roll_back(conn, Claimed::AlreadyThere).await,
        "none" => return roll_back(conn, Claimed::NoSpare).await,
        spare => spare.to_owned(),
    };
    let Holding { tenant, cluster, .. } = *claim.holding;
    let mark = DatabaseMark { tenant, school: claim.school, cluster, schema: claim.schema, digest: claim.digest.to_owned() };
    let claiming = sql::Claiming {
        spare: &spare,
        database,
        login,
        connection_limit: claim.connection_limit,
        verifier: claim.verifier.expose_secret(),
        mark: &mark.text(),
        login_mark: &login_mark(claim.holding, claim.school, claim.fingerprint.to_owned()).text(),
    };
    send::send(&mut conn, sql::claim(&claiming), "claiming a database").await?;
    conn.give_back();
    Ok(Claimed::Now)
}

async fn roll_back(mut conn: Borrowed, outcome: Claimed) -> Result<Claimed> {
    send::send(&mut conn, "ROLLBACK".to_owned(), "claiming a database").await?;
    conn.give_back();
    Ok(outcome)
}
