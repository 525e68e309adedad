//! Columns that name other rows: those must exist, not be deleted, and be the user's own where the permission reaches no further.
//!
//! Must not say whether a row is missing or out of reach.

use serde_json::{Map, Value};
use sqlx::postgres::{PgConnection, PgRow, Postgres};
use sqlx::{QueryBuilder, Row as _};
use uuid::Uuid;

use super::{Reference, Resource, select};
use crate::error::{Error, Field, Result, Text};

/// A reference that a body makes, with the id that it names.
type Made = (&'static Reference, Uuid);

/// The references that a body makes.
pub(super) fn made<R: Resource>(value: &Map<String, Value>) -> Vec<Made> {
    let id = |reference: &Reference| value.get(reference.column).and_then(Value::as_str).and_then(|id| Uuid::try_parse(id).ok());
    R::REFERENCES.iter().filter_map(|reference| Some((reference, id(reference)?))).collect()
}

/// Adds an expression to a select list: true where the reference may be made, otherwise null. It locks the row, so that none is removed before this
/// transaction ends.
pub(super) fn push(query: &mut QueryBuilder<Postgres>, (reference, id): Made, own: Option<Uuid>) {
    query.push(format!("(SELECT true FROM app.{} t WHERE t.deleted_at IS NULL AND t.id = ", reference.table)).push_bind(id);
    if let Some((mine, user)) = reference.own.zip(own) {
        select::mine(query, mine, user);
    }
    query.push(" FOR KEY SHARE OF t)");
}

/// Refuses the references whose expressions, which begin at column `first` of the row, are null: to rows that are missing, or outside `own`. Names each field.
pub(super) fn refuse(made: &[Made], row: &PgRow, first: usize) -> Result<()> {
    let mut wrong = Vec::new();
    for (at, (reference, _)) in made.iter().enumerate() {
        if row.try_get::<Option<bool>, _>(first + at)?.is_none() {
            let message = Text::new("não existe", "does not exist");
            wrong.push(Field { field: reference.column.to_owned(), code: "not_found", message });
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(Error::invalid(wrong)) }
}

/// Refuses references to missing rows, or to rows outside `own`, naming each field. Locks the rows, so that none is removed before this transaction ends.
pub(super) async fn check<R: Resource>(conn: &mut PgConnection, value: &Map<String, Value>, own: Option<Uuid>) -> Result<()> {
    let made = made::<R>(value);
    if made.is_empty() {
        return Ok(());
    }
    let mut query = QueryBuilder::new("SELECT ");
    for (at, reference) in made.iter().enumerate() {
        query.push(if at == 0 { "" } else { ", " });
        push(&mut query, *reference, own);
    }
    refuse(&made, &query.build().fetch_one(conn).await?, 0)
}
