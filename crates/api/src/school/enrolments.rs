//! Enrolments: which child is in which class, over time. A child is in one class at a time, and a class has no more children than its capacity.
//!
//! Must not exceed a capacity, even when two children are enrolled at once.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::postgres::{PgConnection, Postgres};
use sqlx::{FromRow, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::period;
use crate::access::permission::{ChildrenRead, ChildrenUpdate};
use crate::error::{Error, Result, Text};
use crate::resource::filter::equal;
use crate::resource::stored::StoredDate;
use crate::resource::{Filter, LIVE_CHILD, LockedRow, OWN_CHILD, Order, Reference, Resource, Stamp};

/// The resource.
pub enum Enrolments {}

/// An enrolment: the time during which a child belongs to a class.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, FromRow)]
pub struct Enrolment {
    /// Id of the enrolment (UUID).
    pub id: Uuid,
    /// Id of the child (UUID).
    pub child_id: Uuid,
    /// Id of the class (UUID).
    pub class_id: Uuid,
    /// First day of the enrolment (`YYYY-MM-DD`).
    #[sqlx(try_from = "StoredDate")]
    pub starts_on: NaiveDate,
    /// Last day of the enrolment (`YYYY-MM-DD`); null while no end is known.
    #[sqlx(try_from = "StoredDate")]
    pub ends_on: Option<NaiveDate>,
    /// Version of the record, who wrote it and when.
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub stamp: Stamp,
}

/// Request body that enrols a child in a class.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEnrolment {
    /// Id of the child (UUID).
    pub child_id: Uuid,
    /// Id of the class (UUID).
    pub class_id: Uuid,
    /// First day of the enrolment (`YYYY-MM-DD`).
    pub starts_on: NaiveDate,
    /// Last day of the enrolment (`YYYY-MM-DD`); null while no end is known.
    pub ends_on: Option<NaiveDate>,
}

/// Request body that updates an enrolment. Absent fields keep their value; null clears a field. The child cannot be changed.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrolmentChange {
    /// Id of the class (UUID).
    #[schema(nullable = false)]
    pub class_id: Option<Uuid>,
    /// First day of the enrolment (`YYYY-MM-DD`).
    #[schema(nullable = false)]
    pub starts_on: Option<NaiveDate>,
    /// Last day of the enrolment (`YYYY-MM-DD`); null while no end is known.
    pub ends_on: Option<NaiveDate>,
}

/// Filters of the list of enrolments.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct EnrolmentFilter {
    /// Only enrolments of this child.
    pub child_id: Option<Uuid>,
    /// Only enrolments in this class.
    pub class_id: Option<Uuid>,
    /// Only enrolments that include this day (`YYYY-MM-DD`).
    pub on: Option<NaiveDate>,
}

impl Filter for EnrolmentFilter {
    fn narrow(&self, query: &mut QueryBuilder<Postgres>) {
        equal(query, "child_id", self.child_id);
        equal(query, "class_id", self.class_id);
        period::includes(query, self.on);
    }
}

impl Resource for Enrolments {
    const TABLE: &'static str = "enrolments";
    const PATH: &'static str = "/enrolments";
    const SINGULAR: &'static str = "enrolment";
    const COLUMNS: &'static str = "t.child_id, t.class_id, t.starts_on, t.ends_on";
    const WRITABLE: &'static [&'static str] = &["child_id", "class_id", "starts_on", "ends_on"];
    const ORDER: Order = Order { column: "t.starts_on", of: "date", descending: true };
    const LIVE: &'static str = LIVE_CHILD;
    const OWN: &'static str = OWN_CHILD;
    const REFERENCES: &'static [Reference] = &[Reference::CHILD, Reference::to("class_id", "classes")];

    type Record = Enrolment;
    type New = NewEnrolment;
    type Change = EnrolmentChange;
    type Filter = EnrolmentFilter;
    type Read = ChildrenRead;
    type Create = ChildrenUpdate;
    type Update = ChildrenUpdate;
    type Delete = ChildrenUpdate;

    /// Locks the child first, in the same order as a removal of the child, because its enrolments must not overlap.
    async fn lock_before_change(conn: &mut PgConnection, id: Uuid) -> Result<()> {
        let child = "SELECT FROM app.children c WHERE c.id = (SELECT e.child_id FROM app.enrolments e WHERE e.id = $1) FOR NO KEY UPDATE";
        sqlx::query(child).bind(id).execute(conn).await?;
        Ok(())
    }

    /// Refuses an enrolment for which the class has no room on a day that this write adds.
    async fn check(conn: &mut PgConnection, row: Option<&LockedRow>, value: &Value) -> Result<()> {
        let id = row.map(|row| row.id);
        // A new enrolment locks the child before the class, as a change does.
        if let Some(child) = value.get("child_id").and_then(Value::as_str) {
            sqlx::query("SELECT FROM app.children c WHERE c.id = $1::text::uuid FOR NO KEY UPDATE").bind(child).execute(&mut *conn).await?;
        }
        // Two writes to the same class wait for each other here. The next statement of the second sees the row of the first.
        sqlx::query(CLASS).bind(id).bind(value).execute(&mut *conn).await?;
        if sqlx::query_scalar(FULL).bind(id).bind(value).fetch_one(conn).await? {
            return Err(Error::conflict("class_id", "full", Text::new("a sala está cheia", "the class is full")));
        }
        Ok(())
    }
}

/// Locks the class that enrolment $1 is in after $2 is written.
const CLASS: &str = "
    SELECT FROM app.classes c
    WHERE c.id = coalesce(($2::jsonb ->> 'class_id')::uuid, (SELECT e.class_id FROM app.enrolments e WHERE e.id = $1))
    FOR NO KEY UPDATE";

/// Whether the class of enrolment $1, as changed by $2, has no room on a day that this write adds to the enrolment. The class is fullest on the first added
/// day, or on a day on which the enrolment of another child begins.
const FULL: &str = "
    WITH old AS (SELECT e.* FROM app.enrolments e WHERE e.id = $1),
    new AS (SELECT r.class_id, r.starts_on, coalesce(r.ends_on, 'infinity') AS ends_on
            FROM jsonb_populate_record((SELECT e FROM app.enrolments e WHERE e.id = $1), $2) r),
    others AS (SELECT e.starts_on, coalesce(e.ends_on, 'infinity') AS ends_on
               FROM app.enrolments e JOIN app.children c ON c.id = e.child_id AND c.deleted_at IS NULL
               WHERE e.class_id = (SELECT class_id FROM new) AND e.deleted_at IS NULL AND e.id IS DISTINCT FROM $1),
    days AS (SELECT starts_on AS day FROM new UNION SELECT ends_on + 1 FROM old WHERE ends_on IS NOT NULL UNION SELECT starts_on FROM others)
    SELECT EXISTS (
        SELECT FROM new JOIN app.classes c ON c.id = new.class_id, days
        WHERE days.day BETWEEN new.starts_on AND new.ends_on
          AND NOT EXISTS (SELECT FROM old WHERE old.class_id = new.class_id
                                            AND days.day BETWEEN old.starts_on AND coalesce(old.ends_on, 'infinity'))
          AND (SELECT count(*) FROM others WHERE days.day BETWEEN others.starts_on AND others.ends_on) >= c.capacity)";
