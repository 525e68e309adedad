//! Refresh tokens: what renews a session, once each.
//!
//! A token is its session's id and 256 random bits, of which the database keeps the SHA-256. Each use gives the next one. Reuse within
//! [`GRACE`] is treated as a lost answer; later reuse means that the token was copied, and ends the session. Must not log or show a token.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::{constant_time, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use postgres::error::{Doing as _, Result};
use secrecy::SecretString;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgPool};
use uuid::Uuid;
use zeroize::Zeroizing;

/// Seconds in which the answer to a used token is given again.
const GRACE: i32 = 10;
/// Sessions of one user; the one that was quiet longest ends for a new one.
const SESSIONS: i64 = 20;
/// Rows that one statement deletes.
const BATCH: i64 = 1000;
const SECRET_BYTES: usize = 32;

pub(super) struct RefreshToken {
    pub(super) family: Uuid,
    secret: Zeroizing<[u8; SECRET_BYTES]>,
}

/// What a refresh token is good for.
pub(super) enum Renewal {
    /// The next token.
    Renewed(RefreshToken),
    /// It was used before; the session has ended.
    Reused,
    /// No session of its own.
    Unknown,
}

impl RefreshToken {
    fn generate() -> Option<Self> {
        Some(Self { family: Uuid::new_v4(), secret: random()? })
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
        let (family, secret) = bytes.split_at_checked(16)?;
        let mut token = Self { family: Uuid::from_slice(family).ok()?, secret: Zeroizing::new([0; SECRET_BYTES]) };
        if secret.len() != SECRET_BYTES {
            return None;
        }
        token.secret.copy_from_slice(secret);
        Some(token)
    }

    pub(super) fn text(&self) -> SecretString {
        let bytes = Zeroizing::new([self.family.as_bytes().as_slice(), self.secret.as_slice()].concat());
        URL_SAFE_NO_PAD.encode(bytes.as_slice()).into()
    }

    fn digest(&self) -> Vec<u8> {
        digest(&SHA256, self.secret.as_slice()).as_ref().to_vec()
    }

    /// The one that follows, the same whenever it is asked for.
    fn next(&self, salt: &[u8]) -> Self {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, salt), self.secret.as_slice());
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        secret.copy_from_slice(tag.as_ref());
        Self { family: self.family, secret }
    }
}

fn random() -> Option<Zeroizing<[u8; SECRET_BYTES]>> {
    let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
    rand::fill(bytes.as_mut()).ok()?;
    Some(bytes)
}

/// Begins a session of a user whose row is locked: 30 days at most, 7 without use. None without randomness.
pub(super) async fn begin(conn: &mut PgConnection, user: Uuid) -> Result<Option<RefreshToken>> {
    let doing = "beginning a session";
    let (Some(token), Some(salt)) = (RefreshToken::generate(), random()) else { return Ok(None) };
    let insert = "
        INSERT INTO registry.refresh_tokens (family, user_id, current, salt, expires_at, ends_at)
        VALUES ($1, $2, $3, $4, now() + interval '7 days', now() + interval '30 days')";
    let query = sqlx::query(insert).bind(token.family).bind(user).bind(token.digest()).bind(salt.as_slice());
    query.execute(&mut *conn).await.doing(doing)?;
    let trim = "
        DELETE FROM registry.refresh_tokens WHERE family IN
            (SELECT family FROM registry.refresh_tokens WHERE user_id = $1 ORDER BY rotated_at DESC, family = $2 DESC OFFSET $3)";
    sqlx::query(trim).bind(user).bind(token.family).bind(SESSIONS).execute(conn).await.doing(doing)?;
    Ok(Some(token))
}

/// Whose session a token says it is of. A user's row is locked before the session's, here as where an account's change ends its sessions.
pub(super) async fn owner(conn: &mut PgConnection, token: &RefreshToken) -> Result<Option<Uuid>> {
    let query = sqlx::query_scalar("SELECT user_id FROM registry.refresh_tokens WHERE family = $1").bind(token.family);
    query.fetch_optional(conn).await.doing("looking for a session")
}

/// Uses a token. The session's row stays locked until the transaction ends.
pub(super) async fn renew(conn: &mut PgConnection, token: &RefreshToken) -> Result<Renewal> {
    let doing = "renewing a session";
    let select = "
        SELECT current, previous, salt, rotated_at > clock_timestamp() - $2 * interval '1 second' AS lost
        FROM registry.refresh_tokens WHERE family = $1 AND expires_at > clock_timestamp() FOR UPDATE";
    let Some(row) = sqlx::query(select).bind(token.family).bind(GRACE).fetch_optional(&mut *conn).await.doing(doing)? else {
        return Ok(Renewal::Unknown);
    };
    let bytes = |column| row.try_get::<Option<Vec<u8>>, _>(column).doing(doing);
    let (salt, presented) = (bytes("salt")?.unwrap_or_default(), token.digest());
    let is = |held: Option<Vec<u8>>| held.is_some_and(|held| constant_time::verify_slices_are_equal(&held, &presented).is_ok());
    let next = token.next(&salt);
    if is(bytes("current")?) {
        let update = "
            UPDATE registry.refresh_tokens SET previous = current, current = $2, rotated_at = clock_timestamp(),
                expires_at = least(clock_timestamp() + interval '7 days', ends_at)
            WHERE family = $1";
        sqlx::query(update).bind(token.family).bind(next.digest()).execute(conn).await.doing(doing)?;
        return Ok(Renewal::Renewed(next));
    }
    if is(bytes("previous")?) && row.try_get("lost").doing(doing)? {
        return Ok(Renewal::Renewed(next));
    }
    // Older ones are no longer known by their digest; whoever knows the session's id had one.
    end(conn, token.family).await?;
    Ok(Renewal::Reused)
}

/// Ends a session. Returns whose it was.
pub(super) async fn end(conn: &mut PgConnection, family: Uuid) -> Result<Option<Uuid>> {
    let query = sqlx::query_scalar("DELETE FROM registry.refresh_tokens WHERE family = $1 RETURNING user_id").bind(family);
    query.fetch_optional(conn).await.doing("ending a session")
}

/// Whether a session has this token as its present or previous one.
pub(super) async fn is_valid(conn: &mut PgConnection, token: &RefreshToken) -> Result<bool> {
    let select = "SELECT EXISTS (SELECT FROM registry.refresh_tokens WHERE family = $1 AND $2 IN (current, previous))";
    let query = sqlx::query_scalar(select).bind(token.family).bind(token.digest());
    query.fetch_one(conn).await.doing("looking for a session")
}

/// Deletes sessions that have run out, a bounded number at a time. Replicas that do the same pass over each other's rows.
pub(super) async fn sweep(pool: &PgPool) -> Result<u64> {
    let delete = "
        DELETE FROM registry.refresh_tokens WHERE family IN
            (SELECT family FROM registry.refresh_tokens WHERE expires_at <= now() LIMIT $1 FOR UPDATE SKIP LOCKED)";
    let mut swept = 0;
    loop {
        let done = sqlx::query(delete).bind(BATCH).execute(pool).await.doing("deleting sessions that have run out")?.rows_affected();
        swept += done;
        if done < BATCH.unsigned_abs() {
            return Ok(swept);
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written_and_nothing_else_is_read() {
        let token = RefreshToken::generate().unwrap();
        let text = token.text();
        let read = RefreshToken::parse(text.expose_secret()).unwrap();
        assert_eq!((read.family, read.digest()), (token.family, token.digest()));
        for bad in ["", "canary", &text.expose_secret()[1..], &format!("{}A", text.expose_secret())] {
            assert!(RefreshToken::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn what_follows_a_token_is_the_same_each_time_and_needs_the_salt() {
        let token = RefreshToken::generate().unwrap();
        assert_eq!(token.next(&[1; 32]).digest(), token.next(&[1; 32]).digest());
        assert_ne!(token.next(&[1; 32]).digest(), token.next(&[2; 32]).digest());
        assert_ne!(token.next(&[1; 32]).digest(), token.digest());
    }
}
