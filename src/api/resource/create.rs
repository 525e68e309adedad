//! A new row. With an `Idempotency-Key`, however often it is sent, one.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::Value;
use sqlx::QueryBuilder;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::idempotency::{self, Keyed};
use super::{Resource, reference, select, written};
use crate::api::access::Access;
use crate::api::answer::{ETag, tagged};
use crate::api::body::Body;
use crate::api::error::{Code, Result};

pub(super) async fn create<R: Resource>(access: Access<R::Create>, headers: HeaderMap, body: Body<R::New>) -> Result<Response> {
    let mut tx = access.begin().await?;
    let key = match idempotency::claim(&mut tx, access.principal(), &headers, "POST", R::PATH, &body.digest).await? {
        Keyed::Answered(answer) => {
            tx.undo().await;
            return Ok(answer);
        }
        Keyed::New(key) => key,
    };
    let id = insert::<R>(&mut tx, body.value).await?;
    // Somebody who may only touch their own may not create what is not theirs.
    let found = select::one::<R>(&mut tx, id, access.own()).await?.ok_or(Code::Forbidden)?;
    let location = format!("/api/v1{}/{id}", R::PATH);
    let record = serde_json::to_value(&found.record).map_err(|error| crate::api::error::Error::new(Code::Internal).because(error))?;
    idempotency::settle(&mut tx, key, StatusCode::CREATED, Some(ETag(found.version)), Some(&location), &record).await?;
    tx.commit().await?;
    written::<R, _>(&access).await;
    let mut response = tagged(StatusCode::CREATED, ETag(found.version), record);
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Inserts the columns that the body names and those that follow from them; the others get their defaults.
pub(super) async fn insert<R: Resource>(conn: &mut PgConnection, value: Value) -> Result<Uuid> {
    let Value::Object(mut fields) = value else { return Err(Code::Internal.into()) };
    reference::check::<R>(conn, &fields).await?;
    R::complete(conn, &mut fields).await?;
    let value = Value::Object(fields);
    R::check(conn, None, &value).await?;
    let columns: Vec<&str> =
        R::WRITABLE.iter().copied().filter(|column| value.get(*column).is_some_and(|value| !value.is_null())).collect();
    let list = columns.join(", ");
    let mut query = QueryBuilder::new(format!(
        "INSERT INTO app.{table} AS t ({list}) SELECT {list} FROM jsonb_populate_record(NULL::app.{table}, ",
        table = R::TABLE
    ));
    query.push_bind(value).push(") RETURNING t.id");
    Ok(query.build_query_scalar().fetch_one(conn).await?)
}
