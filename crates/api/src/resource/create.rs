//! POST of a new row. With an `Idempotency-Key` it creates one row, however often it is sent.
//!
//! Must not create a second row for one key.

use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::Value;
use sqlx::QueryBuilder;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::idempotency::{self, Idempotent};
use super::{Reference, Resource, check_account, check_columns, invalidation, reference, select, visible_columns};
use crate::access::Access;
use crate::answer::ETag;
use crate::body::Body;
use crate::error::{Code, Result};

pub(super) async fn create<R: Resource>(access: Access<R::Create>, headers: HeaderMap, body: Body<R::New>) -> Result<Response> {
    // A refusal names the child of the body too.
    if let Some(child) = child_of(&body.value) {
        access.set_audited_child(child);
    }
    // Before a stored answer is given again: it holds what its body named.
    let visible = Box::pin(visible_columns::<R, _>(&access)).await?;
    check_columns::<R, _>(&access, &body.value, visible)?;
    check_account::<R, _>(&access, &body.value).await?;
    let mut tx = match idempotency::begin(&access, &headers, R::PATH, &body.digest).await? {
        Idempotent::Repeated(mut repeated) => {
            // The row may no longer be one of the user's own: a replayed key must not show what a read would refuse.
            if access.own().is_some() {
                let id = repeated.id().ok_or(Code::NotFound)?;
                select::present::<R>(repeated.conn(), id, access.own()).await?;
            }
            return Ok(repeated.answer().await);
        }
        Idempotent::First(tx) => tx,
    };
    let (id, child) = insert::<R>(&mut tx, body.value, access.own()).await?;
    if let Some(child) = child {
        access.set_audited_child(child);
    }
    // Whoever may only touch their own rows may not create another's: then it is rolled back.
    let found = select::one_with::<R>(&mut tx, id, access.own(), visible).await?.ok_or(Code::Forbidden)?;
    let location = format!("/api/v1{}/{id}", R::PATH);
    tx.invalidates(invalidation::<R>());
    tx.created(Some(ETag(found.version)), Some(location), &found.record).await
}

/// The child that a body or row is about.
fn child_of(value: &Value) -> Option<Uuid> {
    value.get(Reference::CHILD.column).and_then(Value::as_str).and_then(|id| Uuid::try_parse(id).ok())
}

/// Inserts the columns that the body names and those that follow from them; the others get their defaults. Returns the row's id, and the child that it is about.
async fn insert<R: Resource>(conn: &mut PgConnection, value: Value, own: Option<Uuid>) -> Result<(Uuid, Option<Uuid>)> {
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
    let child = child_of(&value);
    query.push_bind(value).push(") RETURNING t.id");
    Ok((query.build_query_scalar().fetch_one(conn).await?, child))
}
