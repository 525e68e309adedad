//! Staff assignments: who works in which class, over time. One person may serve several classes.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnection, Postgres};
use sqlx::{AssertSqlSafe, FromRow, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::access::permission::{StaffRead, StaffUpdate};
use crate::error::Result;
use crate::resource::{Filter, OWN_NONE, Order, Reference, Resource, Stamp};

/// The resource.
pub enum StaffAssignments {}

/// A person's place in a class.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, FromRow)]
pub struct StaffAssignment {
    /// Its id.
    pub id: Uuid,
    /// Who.
    pub staff_id: Uuid,
    /// In which class.
    pub class_id: Uuid,
    /// As what.
    #[schema(value_type = Duty)]
    pub duty: String,
    /// The first day.
    pub starts_on: NaiveDate,
    /// The last day; null: no end known.
    pub ends_on: Option<NaiveDate>,
    /// Who wrote it, and when.
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub stamp: Stamp,
}

/// What somebody does in a class.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Duty {
    /// Leads it.
    Lead,
    /// Helps who leads it.
    Assistant,
    /// Stands in for somebody.
    Substitute,
    /// Comes for some children or some hours.
    Support,
}

/// A person to be given a place in a class.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewStaffAssignment {
    /// Who.
    pub staff_id: Uuid,
    /// In which class.
    pub class_id: Uuid,
    /// As what.
    pub duty: Duty,
    /// The first day.
    pub starts_on: NaiveDate,
    /// The last day; null: no end known.
    pub ends_on: Option<NaiveDate>,
}

/// Fields of an assignment to be changed; it stays the same person's, in the same class.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StaffAssignmentChange {
    /// As what.
    #[schema(nullable = false)]
    pub duty: Option<Duty>,
    /// The first day.
    #[schema(nullable = false)]
    pub starts_on: Option<NaiveDate>,
    /// The last day; null: no end known.
    pub ends_on: Option<NaiveDate>,
}

/// Which assignments.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct StaffAssignmentFilter {
    /// Of this person.
    pub staff_id: Option<Uuid>,
    /// In this class.
    pub class_id: Option<Uuid>,
    /// That this day is within.
    pub on: Option<NaiveDate>,
}

impl Filter for StaffAssignmentFilter {
    fn narrow(&self, query: &mut QueryBuilder<Postgres>) {
        if let Some(person) = self.staff_id {
            query.push(" AND t.staff_id = ").push_bind(person);
        }
        if let Some(class) = self.class_id {
            query.push(" AND t.class_id = ").push_bind(class);
        }
        if let Some(day) = self.on {
            query.push(" AND ").push_bind(day).push(" BETWEEN t.starts_on AND coalesce(t.ends_on, 'infinity')");
        }
    }
}

impl Resource for StaffAssignments {
    const TABLE: &'static str = "staff_assignments";
    const PATH: &'static str = "/staff_assignments";
    const SINGULAR: &'static str = "staff_assignment";
    const COLUMNS: &'static str = "t.staff_id, t.class_id, t.duty, t.starts_on, t.ends_on";
    const WRITABLE: &'static [&'static str] = &["staff_id", "class_id", "duty", "starts_on", "ends_on"];
    const ORDER: Order = Order { column: "t.starts_on", of: "date", descending: true };
    const LIVE: &'static str = "t.deleted_at IS NULL AND EXISTS (SELECT FROM app.staff s WHERE s.id = t.staff_id AND s.deleted_at IS NULL)";
    const OWN: &'static str = OWN_NONE;
    const REFERENCES: &'static [Reference] = &[Reference::to("staff_id", "staff"), Reference::to("class_id", "classes")];

    type Record = StaffAssignment;
    type New = NewStaffAssignment;
    type Change = StaffAssignmentChange;
    type Filter = StaffAssignmentFilter;
    type Read = StaffRead;
    type Create = StaffUpdate;
    type Update = StaffUpdate;
    type Delete = StaffUpdate;
}

/// Ends today what has begun, and takes back what has not, where `column` names a person or a class that is removed.
pub(super) async fn end(conn: &mut PgConnection, column: &'static str, id: Uuid) -> Result<()> {
    let take_back = format!(
        "UPDATE app.staff_assignments SET deleted_at = now() WHERE {column} = $1 AND deleted_at IS NULL AND starts_on > app.day_of(now())"
    );
    sqlx::query(AssertSqlSafe(take_back)).bind(id).execute(&mut *conn).await?;
    let end = format!(
        "UPDATE app.staff_assignments SET ends_on = app.day_of(now())
         WHERE {column} = $1 AND deleted_at IS NULL AND coalesce(ends_on, 'infinity') > app.day_of(now())"
    );
    sqlx::query(AssertSqlSafe(end)).bind(id).execute(conn).await?;
    Ok(())
}
