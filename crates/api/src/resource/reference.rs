//! Columns that name other rows: those must exist, not be deleted, and be the user's own where the permission reaches no further.
//!
//! Must not say whether a row is missing or out of reach.

use serde_json::{Map, Value};
use sqlx::QueryBuilder;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::{Reference, Resource, select};
use crate::error::{Error, Field, Result, Text};

/// Refuses references to missing rows, or to rows outside `own`, naming each field. Locks the rows, so that none is removed before this transaction ends.
pub(super) async fn check<R: Resource>(conn: &mut PgConnection, value: &Map<String, Value>, own: Option<Uuid>) -> Result<()> {
    let mut wrong = Vec::new();
    for Reference { column, table, own: mine } in R::REFERENCES {
        let Some(id) = value.get(*column).and_then(Value::as_str).and_then(|id| Uuid::try_parse(id).ok()) else { continue };
        let mut query = QueryBuilder::new(format!("SELECT true FROM app.{table} t WHERE t.deleted_at IS NULL AND t.id = "));
        query.push_bind(id);
        if let Some((mine, user)) = mine.zip(own) {
            select::mine(&mut query, mine, user);
        }
        query.push(" FOR KEY SHARE OF t");
        let found: Option<bool> = query.build_query_scalar().fetch_optional(&mut *conn).await?;
        if found.is_none() {
            wrong.push(Field { field: (*column).to_owned(), code: "not_found", message: Text::new("não existe", "does not exist") });
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(Error::invalid(wrong)) }
}
