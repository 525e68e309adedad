//! `Idempotency-Key`: a request that is sent again gets its first answer.
//!
//! The key is written in the transaction of the work, so it exists exactly if the work was committed. Must not decide who may see a stored answer: the route
//! does.

use std::ops::{Deref, DerefMut};

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::QueryBuilder;
use sqlx::postgres::{PgConnection, Postgres};
use sqlx::types::Json;
use tenancy::maintenance::push_delete_expired_answers;
use uuid::Uuid;

use crate::access::{Access, Invalidation, Permission, WriteTransaction};
use crate::answer::{Data, ETag};
use crate::error::{Code, Error, Result};
use crate::idempotency_key;

/// Expired answers deleted with each new key: more than one, so that none outlives its day in a school at work.
const SWEPT: u32 = 100;

/// Whether a request is the first one with its key.
pub enum Idempotent {
    /// The request was answered before: give that answer again.
    Repeated(RepeatedRequest),
    /// The request is the first with its key, or has none: do the work in this transaction.
    First(IdempotentWrite),
}

/// A transaction whose work is done once for its request's key. Dropped without [`IdempotentWrite::created`], it is rolled back.
pub struct IdempotentWrite {
    tx: WriteTransaction,
    key: Option<IdempotencyKey>,
}

/// The stored answer of a repeated request, in a transaction that has changed nothing.
pub struct RepeatedRequest {
    tx: WriteTransaction,
    status: StatusCode,
    stored: StoredAnswer,
}

/// A key that this transaction holds.
struct IdempotencyKey {
    user: Uuid,
    key: String,
}

/// An answer as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredAnswer {
    tag: Option<i64>,
    location: Option<String>,
    data: Value,
}

/// Begins the transaction of a POST to `path`, below `/api/v1`. Waits for a running request with the same key.
///
/// # Errors
/// [`Code::IdempotencyKeyReused`] when the key was used for another request, [`Code::Malformed`] for what is no key; as [`Access::begin_write`].
pub async fn begin<P: Permission>(access: &Access<P>, headers: &HeaderMap, path: &str, digest: &[u8; 32]) -> Result<Idempotent> {
    let key = idempotency_key::key(headers)?;
    let mut tx = access.begin_write().await?;
    let Some(key) = key else { return Ok(Idempotent::First(IdempotentWrite { tx, key: None })) };
    let key = IdempotencyKey { user: access.principal().user.0, key: key.to_owned() };
    let route = format!("POST {path}");
    if key.claim(&mut tx, &route, digest).await? {
        return Ok(Idempotent::First(IdempotentWrite { tx, key: Some(key) }));
    }
    let (status, stored) = key.answer(&mut tx, &route, digest).await?;
    Ok(Idempotent::Repeated(RepeatedRequest { tx, status, stored }))
}

impl RepeatedRequest {
    /// The row that was made, if it was one.
    #[must_use]
    pub fn id(&self) -> Option<Uuid> {
        self.stored.data.get("id")?.as_str()?.parse().ok()
    }

    /// To check whether the user may still see that row.
    pub fn conn(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    /// The answer as it was the first time.
    pub async fn answer(self) -> Response {
        self.tx.rollback().await;
        let mut response = self.stored.answer(self.status);
        response.headers_mut().insert(idempotency_key::REPLAYED, HeaderValue::from_static("true"));
        response
    }
}

impl IdempotentWrite {
    /// As [`WriteTransaction::invalidates`].
    pub fn invalidates(&mut self, what: impl Into<Option<Invalidation>>) {
        self.tx.invalidates(what);
    }

    /// As [`WriteTransaction::push_audit`].
    pub fn push_audit(&mut self, statement: &mut QueryBuilder<Postgres>) {
        self.tx.push_audit(statement);
    }

    /// Commits the work with its answer beside the key, and answers 201.
    ///
    /// # Errors
    /// When the database refuses; as [`WriteTransaction::commit`].
    pub async fn created(mut self, tag: Option<ETag>, location: Option<String>, data: &impl Serialize) -> Result<Response> {
        let data = serde_json::to_value(data).map_err(|error| Error::new(Code::Internal).because(error))?;
        let stored = StoredAnswer { tag: tag.map(|tag| tag.0), location, data };
        if let Some(key) = &self.key {
            key.store(&mut self.tx, &stored).await?;
        }
        self.tx.commit().await?;
        Ok(stored.answer(StatusCode::CREATED))
    }
}

impl Deref for IdempotentWrite {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.tx
    }
}

impl DerefMut for IdempotentWrite {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.tx
    }
}

impl IdempotencyKey {
    /// Takes the key for this transaction, if no other request has. An expired key counts as new.
    async fn claim(&self, conn: &mut PgConnection, route: &str, digest: &[u8; 32]) -> Result<bool> {
        let claim = "INSERT INTO app.idempotency_keys AS k (user_id, key, route, request_hash) VALUES ($1, $2, $3, $4)
             ON CONFLICT (user_id, key) DO UPDATE
             SET route = excluded.route, request_hash = excluded.request_hash, status = NULL, response = NULL, expires_at = DEFAULT
             WHERE k.expires_at < now()";
        let claimed = sqlx::query(claim).bind(self.user).bind(&self.key).bind(route).bind(&digest[..]).execute(conn).await?;
        Ok(claimed.rows_affected() == 1)
    }

    /// The answer that the first request with this key got.
    async fn answer(&self, conn: &mut PgConnection, route: &str, digest: &[u8; 32]) -> Result<(StatusCode, StoredAnswer)> {
        let select = "SELECT route, request_hash, status, response FROM app.idempotency_keys WHERE user_id = $1 AND key = $2";
        let (of, hash, status, stored): (String, Vec<u8>, Option<i16>, Option<Json<StoredAnswer>>) =
            sqlx::query_as(select).bind(self.user).bind(&self.key).fetch_one(conn).await?;
        if of != route || hash != digest[..] {
            return Err(Code::IdempotencyKeyReused.into());
        }
        let (Some(status), Some(Json(stored))) = (status, stored) else { return Err(Code::Conflict.into()) };
        let status = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::OK);
        Ok((status, stored))
    }

    /// Stores the answer beside the key, and with it the record in the access audit. Deletes some expired answers: at the end, when this transaction waits
    /// for nothing more. If it held their rows while it waits for its key, two such transactions could wait for each other.
    async fn store(&self, tx: &mut WriteTransaction, stored: &StoredAnswer) -> Result<()> {
        let mut statement = QueryBuilder::new("WITH swept AS (");
        push_delete_expired_answers(&mut statement, Some(SWEPT));
        statement.push(")");
        tx.push_audit(&mut statement);
        statement.push(" UPDATE app.idempotency_keys SET status = 201, response = ").push_bind(Json(stored));
        statement.push(" WHERE user_id = ").push_bind(self.user).push(" AND key = ").push_bind(self.key.clone());
        statement.build().execute(&mut **tx).await?;
        Ok(())
    }
}

impl StoredAnswer {
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
