//! `Idempotency-Key`: a request that is sent again gets its first answer. The key is written in the transaction of the work, so it is there exactly
//! when the work is.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::postgres::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::api::answer::{Data, ETag};
use crate::api::error::{Code, Result};
use crate::api::identity::Principal;

/// The header (draft-ietf-httpapi-idempotency-key-header).
pub const HEADER: &str = "idempotency-key";

/// What is known of a request's key.
pub enum Keyed {
    /// The work was done before: this was the answer.
    Answered(Response),
    /// The work is to be done, and then [`settle`]d; none without a key.
    New(Option<Key>),
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

/// Takes the request's key for this transaction; waits for another transaction that holds it.
///
/// # Errors
/// [`Code::IdempotencyKeyReused`] when it was used for another request, [`Code::Malformed`] for what is no key.
pub async fn claim(
    conn: &mut PgConnection,
    principal: &Principal,
    headers: &HeaderMap,
    method: &str,
    path: &str,
    digest: &[u8; 32],
) -> Result<Keyed> {
    let Some(value) = headers.get(HEADER) else { return Ok(Keyed::New(None)) };
    let key = value.to_str().ok().filter(|key| (1..=255).contains(&key.len())).ok_or(Code::Malformed)?;
    let (user, route) = (principal.user.0, format!("{method} {path}"));
    // A key that has had its day is as good as new.
    let expired = "DELETE FROM app.idempotency_keys WHERE user_id = $1 AND key = $2 AND expires_at < now()";
    sqlx::query(expired).bind(user).bind(key).execute(&mut *conn).await?;
    let insert = "INSERT INTO app.idempotency_keys (user_id, key, route, request_hash) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
    let inserted = sqlx::query(insert).bind(user).bind(key).bind(&route).bind(&digest[..]).execute(&mut *conn).await?;
    if inserted.rows_affected() == 1 {
        return Ok(Keyed::New(Some(Key { user, key: key.to_owned() })));
    }
    let look = "SELECT route, request_hash, status, response FROM app.idempotency_keys WHERE user_id = $1 AND key = $2";
    let (of, hash, status, kept): (String, Vec<u8>, Option<i16>, Option<Json<Kept>>) =
        sqlx::query_as(look).bind(user).bind(key).fetch_one(conn).await?;
    if of != route || hash != digest[..] {
        return Err(Code::IdempotencyKeyReused.into());
    }
    let (Some(status), Some(Json(kept))) = (status, kept) else { return Err(Code::Conflict.into()) };
    let status = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::OK);
    Ok(Keyed::Answered(kept.answer(status)))
}

/// Writes the answer beside the key.
///
/// # Errors
/// When the database refuses.
pub async fn settle(
    conn: &mut PgConnection,
    key: Option<Key>,
    status: StatusCode,
    tag: Option<ETag>,
    location: Option<&str>,
    data: &Value,
) -> Result<()> {
    let Some(Key { user, key }) = key else { return Ok(()) };
    let kept = Json(Kept { tag: tag.map(|tag| tag.0), location: location.map(str::to_owned), data: data.clone() });
    let update = "UPDATE app.idempotency_keys SET status = $3, response = $4 WHERE user_id = $1 AND key = $2";
    let status = i16::try_from(status.as_u16()).unwrap_or(200);
    sqlx::query(update).bind(user).bind(key).bind(status).bind(kept).execute(conn).await?;
    Ok(())
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
        response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
        response
    }
}
