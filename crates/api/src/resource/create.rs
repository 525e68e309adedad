//! POST of a new row. With an `Idempotency-Key` it creates one row, however often it is sent.
//!
//! Must not create a second row for one key.

use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::Value;
use sqlx::QueryBuilder;
use sqlx::postgres::{PgConnection, Postgres};
use uuid::Uuid;

use super::idempotency::{self, Idempotent, IdempotentWrite};
use super::select::Columns;
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
    let value = complete::<R>(&mut tx, body.value, access.own()).await?;
    if let Some(child) = child_of(&value) {
        access.set_audited_child(child);
    }
    let insert = insert::<R>(&mut tx, value, access.own(), visible);
    // Whoever may only touch their own rows may not create another's: then it is rolled back.
    let found = select::written::<R>(&mut tx, insert).await?.ok_or(Code::Forbidden)?;
    let location = format!("/api/v1{}/{}", R::PATH, found.id);
    tx.invalidates(invalidation::<R>());
    tx.created(Some(ETag(found.version)), Some(location), &found.record).await
}

/// The child that a body or row is about.
fn child_of(value: &Value) -> Option<Uuid> {
    value.get(Reference::CHILD.column).and_then(Value::as_str).and_then(|id| Uuid::try_parse(id).ok())
}

/// What was sent, with what follows from it, after it was checked.
async fn complete<R: Resource>(conn: &mut PgConnection, value: Value, own: Option<Uuid>) -> Result<Value> {
    let Value::Object(mut fields) = value else { return Err(Code::Internal.into()) };
    reference::check::<R>(conn, &fields, own).await?;
    R::complete(conn, &mut fields).await?;
    let value = Value::Object(fields);
    R::check(conn, None, &value).await?;
    Ok(value)
}

/// Inserts the columns that the body names and those that follow from them, together with the record in the access audit; the others get their defaults.
fn insert<R: Resource>(tx: &mut IdempotentWrite, value: Value, own: Option<Uuid>, visible: Columns) -> QueryBuilder<Postgres> {
    let is_sent = |column: &str| value.get(column).is_some_and(|value| !value.is_null());
    let sent = R::WRITABLE.iter().filter(|column| is_sent(column)).map(|column| ((*column).to_owned(), format!("r.{column}")));
    let derived = R::DERIVED.iter().filter(|(column, _)| !is_sent(column)).map(|(column, of)| ((*column).to_owned(), (*of).to_owned()));
    let (columns, values): (Vec<_>, Vec<_>) = sent.chain(derived).unzip();
    let mut query = QueryBuilder::new(format!(
        "WITH created AS (INSERT INTO app.{table} AS t ({columns}) SELECT {values} FROM jsonb_populate_record(NULL::app.{table}, ",
        table = R::TABLE,
        columns = columns.join(", "),
        values = values.join(", ")
    ));
    query.push_bind(value).push(") r RETURNING ");
    select::push_written::<R>(&mut query, own, visible);
    query.push(")");
    tx.push_audit(&mut query);
    query.push(" SELECT * FROM created");
    query
}
