//! Columns that name other rows: those must exist, not be deleted, and be the user's own where the permission reaches no further.

use serde_json::{Map, Value};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::{Reference, Resource};
use crate::api::error::{Error, Field, Result, Text};

/// Refuses a body whose references lead nowhere, naming each field. Holds the rows so that none is removed before this transaction ends.
pub(super) async fn check<R: Resource>(conn: &mut PgConnection, value: &Map<String, Value>) -> Result<()> {
    let mut wrong = Vec::new();
    for Reference { column, table } in R::REFERENCES {
        let Some(id) = value.get(*column).and_then(Value::as_str).and_then(|id| Uuid::try_parse(id).ok()) else { continue };
        let look = format!("SELECT true FROM app.{table} WHERE id = $1 AND deleted_at IS NULL FOR KEY SHARE");
        let found: Option<bool> = sqlx::query_scalar(AssertSqlSafe(look)).bind(id).fetch_optional(&mut *conn).await?;
        if found.is_none() {
            wrong.push(Field { field: (*column).to_owned(), code: "not_found", message: Text::new("não existe", "does not exist") });
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(Error::invalid(wrong)) }
}
