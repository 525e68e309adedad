//! Days in the school's own time zone: filters by day and time, and the class of a child on a day.
//!
//! Must not compute a day itself: the database does, with the school's setting.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde_json::Value;
use sqlx::QueryBuilder;
use sqlx::postgres::Postgres;
use uuid::Uuid;

use crate::error::{Field, Text};

/// Narrows to the rows whose time, a column of `t`, is on this day, at or after `from`, and before `until`, as far as they are given.
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

/// What clocks may differ.
pub(super) const CLOCKS: TimeDelta = TimeDelta::minutes(5);
/// How far ahead of its time something may be entered.
pub(super) const AHEAD: TimeDelta = TimeDelta::days(1);

/// The fields of a body, with `path` before their names, whose times are further ahead than this: a mistyped year would stay on top of every list.
pub(super) fn too_far_ahead(value: &Value, path: &str, fields: &[&str], most: TimeDelta) -> Vec<Field> {
    let until = Utc::now() + most;
    let time = |field: &&&str| value.get(**field).and_then(Value::as_str).and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    let wrong = fields.iter().filter(|field| time(field).is_some_and(|time| time > until));
    let message = || Text::new("está no futuro", "is in the future");
    wrong.map(|field| Field { field: format!("{path}{field}"), code: "future", message: message() }).collect()
}

/// Narrows to the rows about children who are enrolled in this class today.
pub(super) fn in_class_today(query: &mut QueryBuilder<Postgres>, class: Option<Uuid>) {
    if let Some(class) = class {
        query.push(
            " AND t.child_id IN (SELECT e.child_id FROM app.enrolments e WHERE e.deleted_at IS NULL \
             AND app.day_of(now()) BETWEEN e.starts_on AND coalesce(e.ends_on, 'infinity') AND e.class_id = ",
        );
        query.push_bind(class).push(")");
    }
}

/// The class of the child of `r`, a row that is written, on the day of a moment: what `class_id` is unless the body has it.
macro_rules! class_on_the_day_of {
    ($moment:literal) => {
        concat!(
            "(SELECT e.class_id FROM app.enrolments e WHERE e.child_id = r.child_id AND e.deleted_at IS NULL AND app.day_of(",
            $moment,
            ") BETWEEN e.starts_on AND coalesce(e.ends_on, 'infinity') LIMIT 1)"
        )
    };
}
pub(super) use class_on_the_day_of;
