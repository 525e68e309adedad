//! Periods with a first day `starts_on` and a last day `ends_on`, which is null while no end is known: enrolments and staff assignments.
//!
//! Must not decide when a period ends: the resource that is removed says so.

use chrono::NaiveDate;
use sqlx::postgres::{PgConnection, Postgres};
use sqlx::{AssertSqlSafe, QueryBuilder};
use uuid::Uuid;

use crate::error::Result;

/// Narrows to the rows of `t` whose period includes this day, if one is given.
pub(super) fn includes(query: &mut QueryBuilder<Postgres>, day: Option<NaiveDate>) {
    if let Some(day) = day {
        query.push(" AND ").push_bind(day).push(" BETWEEN t.starts_on AND coalesce(t.ends_on, 'infinity')");
    }
}

/// Ends today the periods in `table` that have begun, and removes those that have not, where `column` names the record that is removed.
pub(super) async fn end(conn: &mut PgConnection, table: &'static str, column: &'static str, id: Uuid) -> Result<()> {
    let remove =
        format!("UPDATE app.{table} SET deleted_at = now() WHERE {column} = $1 AND deleted_at IS NULL AND starts_on > app.day_of(now())");
    // The names of table and column are the program's own.
    sqlx::query(AssertSqlSafe(remove)).bind(id).execute(&mut *conn).await?;
    let end = format!(
        "UPDATE app.{table} SET ends_on = app.day_of(now())
         WHERE {column} = $1 AND deleted_at IS NULL AND coalesce(ends_on, 'infinity') > app.day_of(now())"
    );
    sqlx::query(AssertSqlSafe(end)).bind(id).execute(conn).await?;
    Ok(())
}
