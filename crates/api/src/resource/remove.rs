//! Soft deletion: the row stays, and nobody sees it any more.

use axum::http::{HeaderMap, StatusCode};
use sqlx::AssertSqlSafe;

use super::change::{self, Against};
use super::filter::Id;
use super::{Resource, outdated, precondition};
use crate::access::Access;
use crate::error::Result;

pub(super) async fn remove<R: Resource>(access: Access<R::Delete>, Id(id): Id, headers: HeaderMap) -> Result<StatusCode> {
    let demand = precondition::demanded(&headers)?;
    let mut tx = access.begin().await?;
    change::hold::<R>(&mut tx, id, access.own(), Against::References).await.and_then(|version| demand.admit(version))?;
    R::removing(&mut tx, id).await?;
    let statement = format!("UPDATE app.{} SET deleted_at = now() WHERE id = $1", R::TABLE);
    sqlx::query(AssertSqlSafe(statement)).bind(id).execute(&mut *tx).await?;
    tx.outdates(outdated::<R>());
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
