//! The one SELECT of a resource: which columns, which rows, in which order.
//!
//! Must not put a caller's text into the SQL: it is bound.

use sqlx::postgres::{PgConnection, PgRow, Postgres};
use sqlx::{FromRow, QueryBuilder, Row as _};
use uuid::Uuid;

use super::Resource;
use crate::error::{Code, Result};

/// A list's order: one column, then the id, both the same way.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// The column of `t`; never null.
    pub column: &'static str,
    /// Its type, in SQL: what a cursor's text is read as.
    pub of: &'static str,
    /// Newest first.
    pub descending: bool,
}

impl Order {
    pub(super) fn direction(&self) -> &'static str {
        if self.descending { "DESC" } else { "ASC" }
    }

    pub(super) fn comparison(&self) -> &'static str {
        if self.descending { "<" } else { ">" }
    }
}

/// Which columns of its rows a caller is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Columns {
    /// All of them.
    All,
    /// [`Resource::STAFF_COLUMNS`] are null.
    Own,
}

impl Columns {
    /// Those of a permission that reaches the whole school, or only this user's own rows.
    #[must_use]
    pub fn of(own: Option<Uuid>) -> Self {
        if own.is_some() { Self::Own } else { Self::All }
    }

    /// The select list. A hidden column keeps its type.
    fn list<R: Resource>(self) -> String {
        let staff = R::STAFF_COLUMNS.iter().map(|column| match self {
            Self::All => format!("t.{column}"),
            Self::Own => format!("(NULL::app.{}).{column} AS {column}", R::TABLE),
        });
        std::iter::once(R::COLUMNS.to_owned()).chain(staff).collect::<Vec<_>>().join(", ")
    }
}

/// A row, and what pages and entity tags need.
pub struct Found<T> {
    /// What the response shows.
    pub record: T,
    /// Its id.
    pub id: Uuid,
    /// Its version.
    pub version: i64,
    /// Its place in the list's order, as text.
    pub place: String,
}

impl<'r, T: FromRow<'r, PgRow>> FromRow<'r, PgRow> for Found<T> {
    fn from_row(row: &'r PgRow) -> sqlx::Result<Self> {
        Ok(Self { record: T::from_row(row)?, id: row.try_get("id")?, version: row.try_get("row_version")?, place: row.try_get("place")? })
    }
}

/// The rows of `R` that exist and that `own` (a user whose own alone may be seen) lets through; more conditions may follow.
#[must_use]
pub fn rows<R: Resource>(own: Option<Uuid>) -> QueryBuilder<Postgres> {
    let mut query = all::<R>(Columns::of(own));
    query.push(" AND ");
    restrict::<R>(&mut query, own);
    query
}

/// Every row of `R`, removed ones too, with `deleted_at`; more conditions may follow.
#[must_use]
pub fn all<R: Resource>(columns: Columns) -> QueryBuilder<Postgres> {
    QueryBuilder::new(format!("SELECT {} FROM app.{} t WHERE true", list::<R>(columns), R::TABLE))
}

/// What is selected of `t`.
fn list<R: Resource>(columns: Columns) -> String {
    format!(
        "t.id, t.row_version, t.created_at, t.created_by, t.updated_at, t.updated_by, t.deleted_at, {columns}, {order}::text AS place",
        columns = columns.list::<R>(),
        order = R::ORDER.column,
    )
}

/// What a write returns of its row `t`: what is selected, and whether the row exists for `own`.
pub(super) fn push_written<R: Resource>(query: &mut QueryBuilder<Postgres>, own: Option<Uuid>, columns: Columns) {
    query.push(list::<R>(columns)).push(", (");
    restrict::<R>(query, own);
    query.push(") AS present");
}

/// The row that a statement with [`push_written`] returns, if it exists for the user.
///
/// # Errors
/// When the database refuses.
pub(super) async fn written<R: Resource>(conn: &mut PgConnection, mut query: QueryBuilder<Postgres>) -> Result<Option<Found<R::Record>>> {
    let row: Option<PgRow> = query.build().fetch_optional(conn).await?;
    let Some(row) = row else { return Ok(None) };
    let present: Option<bool> = row.try_get("present")?;
    Ok(if present == Some(true) { Some(Found::from_row(&row)?) } else { None })
}

/// Which rows exist, and which of them are the user's.
pub fn restrict<R: Resource>(query: &mut QueryBuilder<Postgres>, own: Option<Uuid>) {
    query.push(R::LIVE);
    if let Some(user) = own {
        mine(query, R::OWN, user);
    }
}

/// Only rows of which this says that they are the user's.
pub(super) fn mine(query: &mut QueryBuilder<Postgres>, own: &'static str, user: Uuid) {
    query.push(" AND ");
    let mut parts = own.split("{user}");
    query.push(parts.next().unwrap_or_default());
    for part in parts {
        query.push_bind(user).push(part);
    }
}

/// One row, if it exists for this user.
///
/// # Errors
/// When the database does not answer.
pub async fn one<R: Resource>(conn: &mut PgConnection, id: Uuid, own: Option<Uuid>) -> Result<Option<Found<R::Record>>> {
    let mut query = rows::<R>(own);
    query.push(" AND t.id = ").push_bind(id);
    Ok(query.build_query_as().fetch_optional(conn).await?)
}

/// That a row exists for this user.
///
/// # Errors
/// [`Code::NotFound`].
pub async fn present<R: Resource>(conn: &mut PgConnection, id: Uuid, own: Option<Uuid>) -> Result<()> {
    let mut query = QueryBuilder::new(format!("SELECT true FROM app.{} t WHERE ", R::TABLE));
    restrict::<R>(&mut query, own);
    query.push(" AND t.id = ").push_bind(id);
    let found: Option<bool> = query.build_query_scalar().fetch_optional(conn).await?;
    found.map(|_| ()).ok_or_else(|| Code::NotFound.into())
}
