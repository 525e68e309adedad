//! A change of the fields that the body names, of exactly the version that its author has read.

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Map, Value};
use sqlx::QueryBuilder;
use sqlx::postgres::{PgConnection, Postgres};
use uuid::Uuid;

use super::filter::Id;
use super::{Resource, kept_by_school, outdated, precondition, reference, select};
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
    let demand = precondition::demanded(&headers)?;
    let none = Map::new();
    let fields = body.value.as_object().unwrap_or(&none);
    kept_by_school::<R, _>(&access, &body.value)?;
    let mut tx = access.begin().await?;
    R::before(&mut tx, id).await?;
    hold::<R>(&mut tx, id, access.own(), Against::Writers).await.and_then(|version| demand.admit(version))?;
    reference::check::<R>(&mut tx, fields, access.own()).await?;
    R::check(&mut tx, Some(id), &body.value).await?;
    if let Some(mut query) = update::<R>(id, fields, &body.value) {
        query.build().execute(&mut *tx).await?;
    }
    // What was changed may have left the user's own rows: then it never happened.
    let found = select::one::<R>(&mut tx, id, access.own()).await?.ok_or(Code::Forbidden)?;
    tx.outdates(outdated::<R>());
    tx.commit().await?;
    Ok(tagged(StatusCode::OK, ETag(found.version), found.record))
}

/// Whom a row is held against until the transaction ends.
#[derive(Clone, Copy, Debug)]
pub enum Against {
    /// Others that change or remove it.
    Writers,
    /// Others that come to refer to it, too ([`reference::check`]): nothing may refer to a row that is removed.
    References,
}

/// Holds the row until the transaction ends, and gives its version, if it exists for this user.
///
/// # Errors
/// [`Code::NotFound`].
pub async fn hold<R: Resource>(conn: &mut PgConnection, id: Uuid, own: Option<Uuid>, against: Against) -> Result<i64> {
    let mut query = QueryBuilder::new(format!("SELECT t.row_version FROM app.{} t WHERE ", R::TABLE));
    select::restrict::<R>(&mut query, own);
    query.push(" AND t.id = ").push_bind(id);
    query.push(match against {
        Against::Writers => " FOR NO KEY UPDATE OF t",
        Against::References => " FOR UPDATE OF t",
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
