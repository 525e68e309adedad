//! Claiming: a staged database becomes a school's, with login, rights and ownership comments, in one transaction: all of it or nothing.
//!
//! Must not take over a database or login that is not a spare or already the school's.

use domain::names::SchoolUid;
use sqlx::postgres::PgPool;

use super::access::login_comment;
use super::ownership::{DatabaseComment, OwnershipComment as _};
use super::password::{self, SentPassword};
use super::session_guard::SessionGuard;
use super::{Result, TenantObjects, send, sql};

/// A school's new database and login.
#[derive(Debug)]
pub struct Claim<'a> {
    /// Their names, tenant and cluster.
    pub objects: &'a TenantObjects,
    /// The School object.
    pub school: SchoolUid,
    /// The schema version of the spare.
    pub schema: u32,
    /// The digest of that version, 64 hexadecimal characters; only a spare of this digest is taken.
    pub digest: &'a str,
    /// The login's password.
    pub password: &'a SentPassword,
    /// The keyed fingerprint of the same password.
    pub fingerprint: &'a str,
    /// `CONNECTION LIMIT` of the login.
    pub connection_limit: u16,
}

/// The result of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The school now has its database and login, open.
    Now,
    /// No spare was free; nothing happened.
    NoSpare,
    /// A database or role of one of the names exists, no matter who owns it; nothing happened.
    AlreadyThere,
}

/// Claims a spare in two messages; the second commits. A plain password takes two more. Claims that run at the same time take different spares and do not wait
/// for each other.
///
/// # Errors
/// [`super::Error::PasswordRefused`], [`super::Error::Unencrypted`], or when PostgreSQL fails. If the connection broke at the end, the claim may have committed:
/// observe again.
pub async fn claim(pool: &PgPool, claim: &Claim<'_>) -> Result<Claimed> {
    password::beyond_a_collision(|| attempt(pool, claim)).await
}

async fn attempt(pool: &PgPool, claim: &Claim<'_>) -> Result<Claimed> {
    let (database, login) = (claim.objects.database.as_str(), claim.objects.login.as_str());
    let mut conn = SessionGuard::acquire(pool, "claiming a database").await?;
    let choose = format!("BEGIN; {}", sql::choose_spare(database, login, claim.digest));
    let spare = match send::outcome(&mut conn, choose, "choosing a staged database").await?.as_str() {
        "taken" => return roll_back(conn, Claimed::AlreadyThere).await,
        "none" => return roll_back(conn, Claimed::NoSpare).await,
        spare => spare.to_owned(),
    };
    let TenantObjects { tenant, cluster, .. } = *claim.objects;
    let comment = DatabaseComment { tenant, school: claim.school, cluster, schema: claim.schema, digest: claim.digest.to_owned() };
    let spare_claim = sql::SpareClaim {
        spare: &spare,
        database,
        login,
        connection_limit: claim.connection_limit,
        password: claim.password.text(),
        comment: &comment.text(),
        login_comment: &login_comment(claim.objects, claim.school, claim.fingerprint.to_owned()).text(),
    };
    claim.password.protect(&mut conn).await?;
    let claimed = send::commit(&mut conn, sql::claim(&spare_claim), claim.password.form(), "claiming a database").await;
    if let Err(error) = claimed {
        return Err(claim.password.refusal(&mut conn, error, login).await);
    }
    conn.release();
    Ok(Claimed::Now)
}

async fn roll_back(mut conn: SessionGuard, outcome: Claimed) -> Result<Claimed> {
    send::send(&mut conn, "ROLLBACK".to_owned(), "claiming a database").await?;
    conn.release();
    Ok(outcome)
}
