//! The school's days: lists narrowed to them, and which class a child is in on one. A day begins and ends in the school's own time zone.

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Map, Value};
use sqlx::QueryBuilder;
use sqlx::postgres::{PgConnection, Postgres};
use uuid::Uuid;

use crate::error::Result;

/// Narrows to the rows whose moment, a column of `t`, lies in all that is given: on this day, from this moment on, before that one.
pub(super) fn during(
    query: &mut QueryBuilder<Postgres>,
    column: &str,
    day: Option<NaiveDate>,
    from: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
) {
    if let Some(day) = day {
        query.push(format!(" AND {column} >= app.day_start(")).push_bind(day);
        query.push(format!(") AND {column} < app.day_start(")).push_bind(day).push("::date + 1)");
    }
    if let Some(from) = from {
        query.push(format!(" AND {column} >= ")).push_bind(from);
    }
    if let Some(until) = until {
        query.push(format!(" AND {column} < ")).push_bind(until);
    }
}

/// Narrows to the rows about children who are in this class today.
pub(super) fn in_class_today(query: &mut QueryBuilder<Postgres>, class: Option<Uuid>) {
    if let Some(class) = class {
        query.push(
            " AND t.child_id IN (SELECT e.child_id FROM app.enrolments e WHERE e.deleted_at IS NULL \
             AND app.day_of(now()) BETWEEN e.starts_on AND coalesce(e.ends_on, 'infinity') AND e.class_id = ",
        );
        query.push_bind(class).push(")");
    }
}

/// Fills `class_id`, unless it was sent, with the class that the child was in on the day of `moment`, a field of the body.
pub(super) async fn fill_class(conn: &mut PgConnection, fields: &mut Map<String, Value>, moment: &str) -> Result<()> {
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let (None, Some(child), Some(moment)) = (text("class_id"), text("child_id"), text(moment)) else { return Ok(()) };
    let look = "SELECT e.class_id FROM app.enrolments e WHERE e.child_id = $1::text::uuid AND e.deleted_at IS NULL
                AND app.day_of($2::text::timestamptz) BETWEEN e.starts_on AND coalesce(e.ends_on, 'infinity')";
    let class: Option<Uuid> = sqlx::query_scalar(look).bind(child).bind(moment).fetch_optional(conn).await?;
    if let Some(class) = class {
        fields.insert("class_id".to_owned(), Value::String(class.to_string()));
    }
    Ok(())
}
