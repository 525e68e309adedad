//! Soft deletion: the row stays, and nobody sees it any more.
//!
//! Must not delete the row: other rows may refer to it.

use axum::http::{HeaderMap, StatusCode};
use sqlx::QueryBuilder;

use super::change::{self, RowLock};
use super::filter::Id;
use super::{Resource, invalidation, precondition};
use crate::access::Access;
use crate::error::Result;

pub(super) async fn remove<R: Resource>(access: Access<R::Delete>, Id(id): Id, headers: HeaderMap) -> Result<StatusCode> {
    let if_match = precondition::if_match(&headers)?;
    let mut tx = access.begin_write().await?;
    change::lock::<R>(&mut tx, id, access.own(), RowLock::Remove).await.and_then(|version| if_match.check(version))?;
    R::before_remove(&mut tx, id).await?;
    let mut statement = QueryBuilder::new(format!("WITH removed AS (UPDATE app.{} SET deleted_at = now() WHERE id = ", R::TABLE));
    statement.push_bind(id).push(" RETURNING id)");
    tx.push_audit(&mut statement);
    statement.push(" SELECT id FROM removed").build().execute(&mut *tx).await?;
    tx.invalidates(invalidation::<R>());
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
