//! A new row. With an `Idempotency-Key`, however often it is sent, one.

use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::Value;
use sqlx::QueryBuilder;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::idempotency::{self, Begun};
use super::{Resource, kept_by_school, outdated, reference, select};
use crate::access::Access;
use crate::answer::ETag;
use crate::body::Body;
use crate::error::{Code, Result};

pub(super) async fn create<R: Resource>(access: Access<R::Create>, headers: HeaderMap, body: Body<R::New>) -> Result<Response> {
    kept_by_school::<R, _>(&access, &body.value)?;
    let mut tx = match idempotency::begin(&access, &headers, R::PATH, &body.digest).await? {
        Begun::Answered(mut replay) => {
            // What was the user's own then may be no more: nobody is shown by a key what is not shown without.
            if access.own().is_some() {
                let id = replay.id().ok_or(Code::NotFound)?;
                select::present::<R>(replay.conn(), id, access.own()).await?;
            }
            return Ok(replay.answer().await);
        }
        Begun::Working(tx) => tx,
    };
    let id = insert::<R>(&mut tx, body.value, access.own()).await?;
    // Somebody who may only touch their own may not create what is not theirs.
    let found = select::one::<R>(&mut tx, id, access.own()).await?.ok_or(Code::Forbidden)?;
    let location = format!("/api/v1{}/{id}", R::PATH);
    tx.outdates(outdated::<R>());
    tx.created(Some(ETag(found.version)), Some(location), &found.record).await
}

/// Inserts the columns that the body names and those that follow from them; the others get their defaults.
async fn insert<R: Resource>(conn: &mut PgConnection, value: Value, own: Option<Uuid>) -> Result<Uuid> {
    let Value::Object(mut fields) = value else { return Err(Code::Internal.into()) };
    reference::check::<R>(conn, &fields, own).await?;
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
