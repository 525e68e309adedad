//! PATCH of one row: changes the fields that the body names, of exactly the version that the caller has read.
//!
//! Must not overwrite a version that the caller has not read.

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Map, Value};
use sqlx::postgres::{PgConnection, PgRow, Postgres};
use sqlx::{QueryBuilder, Row as _};
use uuid::Uuid;

use super::filter::Id;
use super::select::Columns;
use super::{Reference, Resource, check_account, check_columns, invalidation, precondition, reference, select, visible_columns};
use crate::access::{Access, WriteTransaction};
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
    let made = reference::made::<R>(fields);
    let locked = lock_with::<R>(&mut tx, id, access.own(), RowLock::Update, &made).await?;
    let row = LockedRow::of(id, &locked)?;
    if_match.check(row.version)?;
    reference::refuse(&made, &locked, LockedRow::COLUMNS)?;
    R::check(&mut tx, Some(&row), &body.value).await?;
    let update = update::<R>(&mut tx, id, &body.value, access.own(), visible);
    // The change may have taken the row out of the user's own rows: then it is rolled back.
    let found = select::written::<R>(&mut tx, update).await?.ok_or(Code::Forbidden)?;
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

/// A row that is locked until the transaction ends.
#[derive(Clone, Debug)]
pub struct LockedRow {
    /// Its id.
    pub id: Uuid,
    /// Its version.
    pub version: i64,
    /// Its value of [`Resource::DECIDING`].
    pub deciding: Option<String>,
}

impl LockedRow {
    /// How many columns it is read from.
    const COLUMNS: usize = 2;

    fn of(id: Uuid, row: &PgRow) -> Result<Self> {
        Ok(Self { id, version: row.try_get(0)?, deciding: row.try_get(1)? })
    }
}

/// Locks the row until the transaction ends and returns its version, if it exists for this user.
///
/// # Errors
/// [`Code::NotFound`].
pub async fn lock<R: Resource>(conn: &mut PgConnection, id: Uuid, own: Option<Uuid>, strength: RowLock) -> Result<i64> {
    let row = lock_with::<R>(conn, id, own, strength, &[]).await?;
    Ok(row.try_get(0)?)
}

/// As [`lock`], and locks the rows that these references name, before it: in the order of a removal, which locks the row and then those that refer to it.
async fn lock_with<R: Resource>(
    conn: &mut PgConnection,
    id: Uuid,
    own: Option<Uuid>,
    strength: RowLock,
    made: &[(&'static Reference, Uuid)],
) -> Result<PgRow> {
    let deciding = R::DECIDING.map_or_else(|| "NULL::text".to_owned(), |column| format!("t.{column}"));
    let mut query = QueryBuilder::new(format!("SELECT t.row_version, {deciding}"));
    for reference in made {
        query.push(", ");
        reference::push(&mut query, *reference, own);
    }
    query.push(format!(" FROM app.{} t WHERE ", R::TABLE));
    select::restrict::<R>(&mut query, own);
    query.push(" AND t.id = ").push_bind(id);
    query.push(match strength {
        RowLock::Update => " FOR NO KEY UPDATE OF t",
        RowLock::Remove => " FOR UPDATE OF t",
    });
    query.build().fetch_optional(conn).await?.ok_or_else(|| Code::NotFound.into())
}

/// Sets the columns that the body names, together with the record in the access audit. A body that names none changes nothing, and is on record too.
fn update<R: Resource>(tx: &mut WriteTransaction, id: Uuid, value: &Value, own: Option<Uuid>, visible: Columns) -> QueryBuilder<Postgres> {
    let columns: Vec<&str> = R::WRITABLE.iter().copied().filter(|column| value.get(*column).is_some()).collect();
    let mut query = QueryBuilder::new("WITH changed AS (");
    if columns.is_empty() {
        query.push("SELECT ");
        select::push_written::<R>(&mut query, own, visible);
        query.push(format!(" FROM app.{} t WHERE t.id = ", R::TABLE)).push_bind(id);
    } else {
        let (list, new) = (columns.join(", "), columns.iter().map(|column| format!("r.{column}")).collect::<Vec<_>>().join(", "));
        query.push(format!("UPDATE app.{} t SET ({list}) = (SELECT {new} FROM jsonb_populate_record(t, ", R::TABLE));
        query.push_bind(value.clone()).push(") r) WHERE t.id = ").push_bind(id);
        query.push(" RETURNING ");
        select::push_written::<R>(&mut query, own, visible);
    }
    query.push(")");
    tx.push_audit(&mut query);
    query.push(" SELECT * FROM changed");
    query
}
