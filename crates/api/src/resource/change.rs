//! PATCH of one row: changes the fields that the body names, of exactly the version that the caller has read.
//!
//! Must not overwrite a version that the caller has not read.

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Map, Value};
use sqlx::QueryBuilder;
use sqlx::postgres::{PgConnection, Postgres};
use uuid::Uuid;

use super::filter::Id;
use super::{Resource, check_account, check_columns, invalidation, precondition, reference, select, visible_columns};
use crate::access::Access;
use crate::answer::{ETag, tagged};
use crate::body::Body;
use crate::error::{Code, Result};

pub(super) async fn change<R: Resource>(
    access: Access<R::Update>,
    Id(id): Id,
    headers: HeaderMap,
    body: Body<R::Change>,
) -> Result<Response> {
    let if_match = precondition::if_match(&headers)?;
    let none = Map::new();
    let fields = body.value.as_object().unwrap_or(&none);
    let visible = Box::pin(visible_columns::<R, _>(&access)).await?;
    check_columns::<R, _>(&access, &body.value, visible)?;
    check_account::<R, _>(&access, &body.value).await?;
    let mut tx = access.begin_write().await?;
    R::lock_before_change(&mut tx, id).await?;
    lock::<R>(&mut tx, id, access.own(), RowLock::Update).await.and_then(|version| if_match.check(version))?;
    reference::check::<R>(&mut tx, fields, access.own()).await?;
    R::check(&mut tx, Some(id), &body.value).await?;
    if let Some(mut query) = update::<R>(id, fields, &body.value) {
        query.build().execute(&mut *tx).await?;
    }
    // The change may have taken the row out of the user's own rows: then it is rolled back.
    let found = select::one_with::<R>(&mut tx, id, access.own(), visible).await?.ok_or(Code::Forbidden)?;
    tx.invalidates(invalidation::<R>());
    tx.commit().await?;
    Ok(tagged(StatusCode::OK, ETag(found.version), found.record))
}

/// How a row is locked until the transaction ends.
#[derive(Clone, Copy, Debug)]
pub enum RowLock {
    /// Against others that change or remove it.
    Update,
    /// Also against others that begin to refer to it ([`reference::check`]): nothing may refer to a row that is removed.
    Remove,
}

/// Locks the row until the transaction ends and returns its version, if it exists for this user.
///
/// # Errors
/// [`Code::NotFound`].
pub async fn lock<R: Resource>(conn: &mut PgConnection, id: Uuid, own: Option<Uuid>, strength: RowLock) -> Result<i64> {
    let mut query = QueryBuilder::new(format!("SELECT t.row_version FROM app.{} t WHERE ", R::TABLE));
    select::restrict::<R>(&mut query, own);
    query.push(" AND t.id = ").push_bind(id);
    query.push(match strength {
        RowLock::Update => " FOR NO KEY UPDATE OF t",
        RowLock::Remove => " FOR UPDATE OF t",
    });
    let version: Option<i64> = query.build_query_scalar().fetch_optional(conn).await?;
    version.ok_or_else(|| Code::NotFound.into())
}

/// Sets the columns that the body names; none when it names none.
fn update<R: Resource>(id: Uuid, fields: &Map<String, Value>, value: &Value) -> Option<QueryBuilder<Postgres>> {
    let columns: Vec<&str> = R::WRITABLE.iter().copied().filter(|column| fields.contains_key(*column)).collect();
    let (list, new) = (columns.join(", "), columns.iter().map(|column| format!("r.{column}")).collect::<Vec<_>>().join(", "));
    let mut query = QueryBuilder::new(format!("UPDATE app.{} t SET ({list}) = (SELECT {new} FROM jsonb_populate_record(t, ", R::TABLE));
    query.push_bind(value.clone()).push(") r) WHERE t.id = ").push_bind(id);
    (!columns.is_empty()).then_some(query)
}
