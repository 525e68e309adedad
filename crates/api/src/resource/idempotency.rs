//! `Idempotency-Key`: a request that is sent again gets its first answer. The key is written in the transaction of the work, so it is there exactly
//! when the work is.

use std::ops::{Deref, DerefMut};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::postgres::PgConnection;
use sqlx::types::Json;
use tenancy::maintenance::delete_expired_answers;
use uuid::Uuid;

use crate::access::{Access, Outdated, Permission, Writing};
use crate::answer::{Data, ETag};
use crate::error::{Code, Error, Result};

/// The header (draft-ietf-httpapi-idempotency-key-header).
pub const HEADER: &str = "idempotency-key";

/// Expired answers deleted with each new key: more than one, so that none outlives its day in a school at work.
const SWEPT: u32 = 100;

/// The header of an answer that was given before.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The request's key, if it has one.
///
/// # Errors
/// [`Code::Malformed`] for what is no key.
pub fn key(headers: &HeaderMap) -> Result<Option<&str>> {
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| (1..=255).contains(&key.len())).ok_or(Code::Malformed)?;
    Ok(Some(key))
}

/// What a request with a key, or without one, is to do.
pub enum Begun {
    /// Nothing: the work was done before.
    Answered(Replay),
    /// The work, in this transaction.
    Working(Once),
}

/// A transaction whose work is done once for its request's key. Dropped without [`Once::created`], it never happened.
pub struct Once {
    tx: Writing,
    key: Option<Key>,
}

/// The answer that a key's request got, in a transaction that has changed nothing.
pub struct Replay {
    tx: Writing,
    status: StatusCode,
    kept: Kept,
}

/// A key that this transaction holds.
pub struct Key {
    user: Uuid,
    key: String,
}

/// An answer as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    tag: Option<i64>,
    location: Option<String>,
    data: Value,
}

/// A transaction that does the work of a POST to `path`, below `/api/v1`. Waits for another one that holds the request's key.
///
/// # Errors
/// [`Code::IdempotencyKeyReused`] when the key was used for another request, [`Code::Malformed`] for what is no key; as [`Access::begin`].
pub async fn begin<P: Permission>(access: &Access<P>, headers: &HeaderMap, path: &str, digest: &[u8; 32]) -> Result<Begun> {
    let key = key(headers)?;
    let mut tx = access.begin().await?;
    let Some(key) = key else { return Ok(Begun::Working(Once { tx, key: None })) };
    let key = Key { user: access.principal().user.0, key: key.to_owned() };
    let route = format!("POST {path}");
    if key.claim(&mut tx, &route, digest).await? {
        return Ok(Begun::Working(Once { tx, key: Some(key) }));
    }
    let (status, kept) = key.answer(&mut tx, &route, digest).await?;
    Ok(Begun::Answered(Replay { tx, status, kept }))
}

impl Replay {
    /// The row that was made, if it was one.
    #[must_use]
    pub fn id(&self) -> Option<Uuid> {
        self.kept.data.get("id")?.as_str()?.parse().ok()
    }

    /// To look with, whether the user may still see that row.
    pub fn conn(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    /// The answer as it was.
    pub async fn answer(self) -> Response {
        self.tx.undo().await;
        let mut response = self.kept.answer(self.status);
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        response
    }
}

impl Once {
    /// As [`Writing::outdates`].
    pub fn outdates(&mut self, what: impl Into<Option<Outdated>>) {
        self.tx.outdates(what);
    }

    /// Makes the work last, its answer beside the key, and answers 201.
    ///
    /// # Errors
    /// When the database refuses; as [`Writing::commit`].
    pub async fn created(mut self, tag: Option<ETag>, location: Option<String>, data: &impl Serialize) -> Result<Response> {
        let data = serde_json::to_value(data).map_err(|error| Error::new(Code::Internal).because(error))?;
        let kept = Kept { tag: tag.map(|tag| tag.0), location, data };
        if let Some(key) = &self.key {
            key.settle(&mut self.tx, &kept).await?;
        }
        self.tx.commit().await?;
        Ok(kept.answer(StatusCode::CREATED))
    }
}

impl Deref for Once {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.tx
    }
}

impl DerefMut for Once {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.tx
    }
}

impl Key {
    /// Takes the key for this transaction, if no other has. One that has had its day is as good as new.
    async fn claim(&self, conn: &mut PgConnection, route: &str, digest: &[u8; 32]) -> Result<bool> {
        let expired = "DELETE FROM app.idempotency_keys WHERE user_id = $1 AND key = $2 AND expires_at < now()";
        sqlx::query(expired).bind(self.user).bind(&self.key).execute(&mut *conn).await?;
        let insert = "INSERT INTO app.idempotency_keys (user_id, key, route, request_hash) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
        let inserted = sqlx::query(insert).bind(self.user).bind(&self.key).bind(route).bind(&digest[..]).execute(&mut *conn).await?;
        let new = inserted.rows_affected() == 1;
        if new {
            // After the key is ours: a transaction that locked rows while it waits for its key could wait for one that waits for those rows.
            delete_expired_answers(conn, Some(SWEPT)).await?;
        }
        Ok(new)
    }

    /// The answer that the key's request got.
    async fn answer(&self, conn: &mut PgConnection, route: &str, digest: &[u8; 32]) -> Result<(StatusCode, Kept)> {
        let look = "SELECT route, request_hash, status, response FROM app.idempotency_keys WHERE user_id = $1 AND key = $2";
        let (of, hash, status, kept): (String, Vec<u8>, Option<i16>, Option<Json<Kept>>) =
            sqlx::query_as(look).bind(self.user).bind(&self.key).fetch_one(conn).await?;
        if of != route || hash != digest[..] {
            return Err(Code::IdempotencyKeyReused.into());
        }
        let (Some(status), Some(Json(kept))) = (status, kept) else { return Err(Code::Conflict.into()) };
        let status = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::OK);
        Ok((status, kept))
    }

    /// Writes the answer beside the key.
    async fn settle(&self, conn: &mut PgConnection, kept: &Kept) -> Result<()> {
        let update = "UPDATE app.idempotency_keys SET status = 201, response = $3 WHERE user_id = $1 AND key = $2";
        sqlx::query(update).bind(self.user).bind(&self.key).bind(Json(kept)).execute(conn).await?;
        Ok(())
    }
}

impl Kept {
    fn answer(self, status: StatusCode) -> Response {
        let mut response = (status, Data::new(self.data)).into_response();
        if let Some(tag) = self.tag {
            response.headers_mut().insert(header::ETAG, ETag(tag).value());
        }
        if let Some(location) = self.location.and_then(|location| HeaderValue::from_str(&location).ok()) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }
}
