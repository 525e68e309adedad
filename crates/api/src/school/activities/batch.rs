//! One entry for a whole class: lunch, the nap, a walk. All of its rows or none, under one `batch_id`.

use std::collections::{HashMap, HashSet};

use axum::http::HeaderMap;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use sqlx::types::Json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::{Activities, Activity, ActivityKind, Meal, MealEaten, NapQuality, Nappy, activity_body, foreign};
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

/// The most rows of one entry: the largest class that the schema allows.
const MOST: usize = 200;

activity_body! {
    /// Request body that records an activity for a whole class: for every child who is enrolled on that day, unless `children` or `except` narrows
    /// it.
    ClassActivity {
        /// Ids of the only children to record the activity for (UUID).
        #[schema(max_items = 200, nullable = false)]
        children: Option<Vec<Uuid>>,
        /// Ids of children to leave out (UUID).
        #[schema(max_items = 200, nullable = false)]
        except: Option<Vec<Uuid>>,
        /// Values that differ for single children.
        #[schema(max_items = 200, nullable = false)]
        overrides: Option<Vec<ChildActivity>>,
        /// Kind of activity.
        kind: ActivityKind,
        /// Time at which the activity began, in RFC 3339 format.
        started_at: DateTime<Utc>,
    }
}

activity_body! {
    /// Values of an activity that differ for one child. Absent fields are as for the class; null clears a field.
    ChildActivity {
        /// Id of the child (UUID).
        child_id: Uuid,
        /// Time at which the child's activity began, in RFC 3339 format. Must be on the same day.
        #[schema(nullable = false)]
        started_at: Option<DateTime<Utc>>,
    }
}

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
    // A class is nobody's own.
    access.require_school_scope()?;
    let path = format!("/classes/{class}/activities");
    let mut tx = match idempotency::begin(&access, &headers, &path, &body.digest).await? {
        Idempotent::Repeated(repeated) => return Ok(repeated.answer().await),
        Idempotent::First(tx) => tx,
    };
    let entry = Entry::of(body)?;
    let present = enrolled(&mut tx, class, &entry.started_at).await?;
    let children = entry.children(&present)?;
    same_day(&mut tx, &entry).await?;
    let batch = insert(&mut tx, class, entry.rows(&children)?).await?;
    let records = recorded(&mut tx, batch).await?;
    tx.created(None, None, &records).await
}

/// A body, taken apart.
struct Entry {
    started_at: String,
    only: Option<Vec<Uuid>>,
    except: Vec<Uuid>,
    overrides: Vec<(Uuid, Map<String, Value>)>,
    /// What is the same for all.
    activity: Map<String, Value>,
}

/// The parts of a body that are no activity's.
#[derive(Deserialize)]
struct Whom {
    children: Option<Vec<Uuid>>,
    #[serde(default)]
    except: Vec<Uuid>,
    #[serde(default)]
    overrides: Vec<Override>,
}

#[derive(Deserialize)]
struct Override {
    child_id: Uuid,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

impl Entry {
    fn of(body: Body<ClassActivity>) -> Result<Self> {
        let internal = |error| Error::new(Code::Internal).because(error);
        let Value::Object(mut activity) = body.value else { return Err(Code::Internal.into()) };
        let whom: Map<_, _> = ["children", "except", "overrides"].into_iter().filter_map(|name| activity.remove_entry(name)).collect();
        let Whom { children, except, overrides } = serde_json::from_value(whom.into()).map_err(internal)?;
        let started_at = activity.get("started_at").and_then(Value::as_str).unwrap_or_default().to_owned();
        let overrides = overrides.into_iter().map(|one| (one.child_id, one.fields)).collect();
        Ok(Self { started_at, only: children, except, overrides, activity })
    }

    /// The children who are recorded, in the order of `present`. Whoever is named must be there: a wrong id would record too many or too few.
    fn children(&self, present: &[Uuid]) -> Result<Vec<Uuid>> {
        let known: HashSet<_> = present.iter().collect();
        let only = self.only.iter().flatten().enumerate().map(|(at, child)| (format!("children.{at}"), child));
        let except = self.except.iter().enumerate().map(|(at, child)| (format!("except.{at}"), child));
        let overrides = self.overrides.iter().enumerate().map(|(at, (child, _))| (format!("overrides.{at}.child_id"), child));
        let absent = only.chain(except).chain(overrides).filter(|(_, child)| !known.contains(child));
        let message = || Text::new("não está nesta sala nesse dia", "is not in this class on that day");
        let mut wrong: Vec<_> = absent.map(|(field, _)| Field { field, code: "not_found", message: message() }).collect();
        let chosen = |child: &&Uuid| self.only.as_ref().is_none_or(|only| only.contains(child)) && !self.except.contains(child);
        let children: Vec<Uuid> = present.iter().filter(chosen).copied().collect();
        if wrong.is_empty() && !(1..=MOST).contains(&children.len()) {
            let (code, pt, en) = if children.is_empty() {
                ("too_few", "não há crianças desta sala nesse dia".to_owned(), "no child is in this class on that day".to_owned())
            } else {
                ("too_many", format!("no máximo {MOST} crianças"), format!("must have at most {MOST} children"))
            };
            wrong.push(Field { field: "children".to_owned(), code, message: Text::new(pt, en) });
        }
        if wrong.is_empty() { Ok(children) } else { Err(Error::invalid(wrong)) }
    }

    /// A row for each child.
    fn rows(&self, children: &[Uuid]) -> Result<Vec<Value>> {
        let kind = self.activity.get("kind").and_then(Value::as_str).unwrap_or_default();
        let mut wrong = foreign(kind, &Value::Object(self.activity.clone()), "");
        let mut overrides = HashMap::new();
        for (at, (child, fields)) in self.overrides.iter().enumerate() {
            wrong.extend(foreign(kind, &Value::Object(fields.clone()), &format!("overrides.{at}.")));
            if overrides.insert(child, fields).is_some() {
                let message = Text::new("a criança está repetida", "is repeated");
                wrong.push(Field { field: format!("overrides.{at}.child_id"), code: "repeated", message });
            }
        }
        if !wrong.is_empty() {
            return Err(Error::invalid(wrong));
        }
        // A set of rows names all of its columns: their defaults are said here.
        let defaults: Map<_, _> =
            [("details".to_owned(), json!({})), ("visible_to_guardians".to_owned(), json!(true))].into_iter().collect();
        let row = |child: &Uuid| {
            let whose = [("child_id".to_owned(), json!(child))];
            let own = overrides.get(child).into_iter().copied().flatten().map(|(name, value)| (name.clone(), value.clone()));
            Value::Object(defaults.clone().into_iter().chain(self.activity.clone()).chain(own).chain(whose).collect())
        };
        Ok(children.iter().map(row).collect())
    }
}

/// The children who are in the class on that moment's day, by name; held so that none is removed meanwhile.
async fn enrolled(conn: &mut PgConnection, class: Uuid, moment: &str) -> Result<Vec<Uuid>> {
    let look = "SELECT true FROM app.classes WHERE id = $1 AND deleted_at IS NULL FOR KEY SHARE";
    let found: Option<bool> = sqlx::query_scalar(look).bind(class).fetch_optional(&mut *conn).await?;
    found.ok_or(Code::NotFound)?;
    let look = "
        SELECT c.id FROM app.enrolments e JOIN app.children c ON c.id = e.child_id
        WHERE e.class_id = $1 AND e.deleted_at IS NULL AND c.deleted_at IS NULL
          AND app.day_of($2::text::timestamptz) BETWEEN e.starts_on AND coalesce(e.ends_on, 'infinity')
        ORDER BY c.search_name, c.id FOR KEY SHARE OF c";
    Ok(sqlx::query_scalar(look).bind(class).bind(moment).fetch_all(conn).await?)
}

/// A child's own time is on the entry's day: it was in this class on that one.
async fn same_day(conn: &mut PgConnection, entry: &Entry) -> Result<()> {
    let times = entry.overrides.iter().enumerate().filter_map(|(at, (_, fields))| Some((at, fields.get("started_at")?.as_str()?)));
    let (places, moments): (Vec<usize>, Vec<String>) = times.map(|(at, moment)| (at, moment.to_owned())).unzip();
    if places.is_empty() {
        return Ok(());
    }
    let look = "SELECT array_agg(app.day_of(m.at::timestamptz) <> app.day_of($2::text::timestamptz) ORDER BY m.n)
                FROM unnest($1::text[]) WITH ORDINALITY AS m (at, n)";
    let other: Vec<bool> = sqlx::query_scalar(look).bind(moments).bind(&entry.started_at).fetch_one(conn).await?;
    let message = || Text::new("tem de ser no mesmo dia", "must be on the same day");
    let wrong = places.into_iter().zip(other).filter(|(_, other)| *other);
    let wrong: Vec<_> =
        wrong.map(|(at, _)| Field { field: format!("overrides.{at}.started_at"), code: "range", message: message() }).collect();
    if wrong.is_empty() { Ok(()) } else { Err(Error::invalid(wrong)) }
}

/// All rows in one statement; their batch.
async fn insert(conn: &mut PgConnection, class: Uuid, rows: Vec<Value>) -> Result<Uuid> {
    let batch = Uuid::now_v7();
    let columns: Vec<&str> = Activities::WRITABLE.iter().copied().filter(|column| *column != "class_id").collect();
    let columns = columns.join(", ");
    let statement = format!(
        "INSERT INTO app.activities ({columns}, class_id, batch_id)
         SELECT {columns}, $2, $3 FROM jsonb_populate_recordset(NULL::app.activities, $1)"
    );
    // The columns' names are the program's own.
    sqlx::query(AssertSqlSafe(statement)).bind(Json(rows)).bind(class).bind(batch).execute(conn).await?;
    Ok(batch)
}

async fn recorded(conn: &mut PgConnection, batch: Uuid) -> Result<Vec<Activity>> {
    let mut query = select::rows::<Activities>(None);
    query.push(" AND t.batch_id = ").push_bind(batch);
    query.push(" ORDER BY (SELECT c.search_name FROM app.children c WHERE c.id = t.child_id), t.child_id");
    Ok(query.build_query_as().fetch_all(conn).await?)
}
