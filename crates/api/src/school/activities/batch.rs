//! Records one activity for a whole class, such as lunch or a nap: a row for each child under one `batch_id`, all of them or none.
//!
//! Must not record a part of it.

mod entry;

use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::Value;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use sqlx::types::Json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use self::entry::Entry;
pub use self::entry::{ChildActivity, ClassActivity};
use super::{Activities, Activity};
use crate::access::Access;
use crate::access::permission::ActivitiesCreate;
use crate::answer::Data;
use crate::app::App;
use crate::body::Body;
use crate::document::{IdempotencyKeyHeader, WritesItem};
use crate::error::{Code, Error, Field, Result, Text};
use crate::resource::filter::Id;
use crate::resource::idempotency::{self, Idempotent};
use crate::resource::{Resource as _, select};

/// The route.
#[must_use]
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(record_class_activity))
}

/// Record an activity for a whole class
///
/// Creates one activity for each child, at most 200. If one of them is invalid, none is created. Requires the permission `activities:create` for the whole
/// school.
#[utoipa::path(
    post, path = "/classes/{id}/activities", tag = "activities", operation_id = "recordClassActivity",
    params(
        ("id" = Uuid, Path, description = "Id of the class (UUID)."),
        IdempotencyKeyHeader,
    ),
    request_body = ClassActivity,
    responses((status = 201, description = "The activities that were created, ordered by the names of the children.", body = Data<Vec<Activity>>), WritesItem)
)]
async fn record_class_activity(
    access: Access<ActivitiesCreate>,
    Id(class): Id,
    headers: HeaderMap,
    body: Body<ClassActivity>,
) -> Result<Response> {
    // A class belongs to no user, so a permission over own records does not reach it.
    access.require_school_scope()?;
    let path = format!("/classes/{class}/activities");
    let mut tx = match idempotency::begin(&access, &headers, &path, &body.digest).await? {
        Idempotent::Repeated(repeated) => return Ok(repeated.answer().await),
        Idempotent::First(tx) => tx,
    };
    let entry = Entry::of(body)?;
    let present = enrolled(&mut tx, class, &entry.started_at).await?;
    let children = entry.children(&present)?;
    check_same_day(&mut tx, &entry).await?;
    let batch = insert(&mut tx, class, entry.rows(&children)?).await?;
    let records = recorded(&mut tx, batch).await?;
    tx.created(None, None, &records).await
}

/// The children who are enrolled in the class on the day of `moment`, by name. Their rows are locked, so that none is removed in the meantime.
async fn enrolled(conn: &mut PgConnection, class: Uuid, moment: &str) -> Result<Vec<Uuid>> {
    let class_lock = "SELECT true FROM app.classes WHERE id = $1 AND deleted_at IS NULL FOR KEY SHARE";
    let found: Option<bool> = sqlx::query_scalar(class_lock).bind(class).fetch_optional(&mut *conn).await?;
    found.ok_or(Code::NotFound)?;
    let children = "
        SELECT c.id FROM app.enrolments e JOIN app.children c ON c.id = e.child_id
        WHERE e.class_id = $1 AND e.deleted_at IS NULL AND c.deleted_at IS NULL
          AND app.day_of($2::text::timestamptz) BETWEEN e.starts_on AND coalesce(e.ends_on, 'infinity')
        ORDER BY c.search_name, c.id FOR KEY SHARE OF c";
    Ok(sqlx::query_scalar(children).bind(class).bind(moment).fetch_all(conn).await?)
}

/// Refuses a time of a single child on another day: the child may have been in another class then.
async fn check_same_day(conn: &mut PgConnection, entry: &Entry) -> Result<()> {
    let times = entry.overrides.iter().enumerate().filter_map(|(at, (_, fields))| Some((at, fields.get("started_at")?.as_str()?)));
    let (places, moments): (Vec<usize>, Vec<String>) = times.map(|(at, moment)| (at, moment.to_owned())).unzip();
    if places.is_empty() {
        return Ok(());
    }
    let on_other_days = "SELECT array_agg(app.day_of(m.at::timestamptz) <> app.day_of($2::text::timestamptz) ORDER BY m.n)
                FROM unnest($1::text[]) WITH ORDINALITY AS m (at, n)";
    let other: Vec<bool> = sqlx::query_scalar(on_other_days).bind(moments).bind(&entry.started_at).fetch_one(conn).await?;
    let message = || Text::new("tem de ser no mesmo dia", "must be on the same day");
    let wrong = places.into_iter().zip(other).filter(|(_, other)| *other);
    let wrong: Vec<_> =
        wrong.map(|(at, _)| Field { field: format!("overrides.{at}.started_at"), code: "range", message: message() }).collect();
    if wrong.is_empty() { Ok(()) } else { Err(Error::invalid(wrong)) }
}

/// Inserts all rows in one statement and returns their `batch_id`.
async fn insert(conn: &mut PgConnection, class: Uuid, rows: Vec<Value>) -> Result<Uuid> {
    let batch = Uuid::now_v7();
    let columns: Vec<&str> = Activities::WRITABLE.iter().copied().filter(|column| *column != "class_id").collect();
    let columns = columns.join(", ");
    let statement = format!(
        "INSERT INTO app.activities ({columns}, class_id, batch_id)
         SELECT {columns}, $2, $3 FROM jsonb_populate_recordset(NULL::app.activities, $1)"
    );
    // The names of the columns are the program's own.
    sqlx::query(AssertSqlSafe(statement)).bind(Json(rows)).bind(class).bind(batch).execute(conn).await?;
    Ok(batch)
}

async fn recorded(conn: &mut PgConnection, batch: Uuid) -> Result<Vec<Activity>> {
    let mut query = select::rows::<Activities>(None);
    query.push(" AND t.batch_id = ").push_bind(batch);
    query.push(" ORDER BY (SELECT c.search_name FROM app.children c WHERE c.id = t.child_id), t.child_id");
    Ok(query.build_query_as().fetch_all(conn).await?)
}
