//! Staff assignments: who works in which class, over time. One person may serve several classes.
//!
//! Must not say which children are in a class: `enrolments` does.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use sqlx::postgres::Postgres;
use sqlx::{FromRow, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::period;
use crate::access::permission::{StaffRead, StaffUpdate};
use crate::resource::filter::equal;
use crate::resource::stored::StoredDate;
use crate::resource::{Filter, OWN_NONE, Order, Reference, Resource, Stamp};

/// The resource.
pub enum StaffAssignments {}

/// The time during which a staff member works in a class.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, FromRow)]
pub struct StaffAssignment {
    /// Id of the assignment (UUID).
    pub id: Uuid,
    /// Id of the staff member (UUID).
    pub staff_id: Uuid,
    /// Id of the class (UUID).
    pub class_id: Uuid,
    /// What the staff member does in the class.
    #[schema(value_type = Duty)]
    pub duty: String,
    /// First day of the assignment (`YYYY-MM-DD`).
    #[sqlx(try_from = "StoredDate")]
    pub starts_on: NaiveDate,
    /// Last day of the assignment (`YYYY-MM-DD`); null while no end is known.
    #[sqlx(try_from = "StoredDate")]
    pub ends_on: Option<NaiveDate>,
    /// Version of the record, who wrote it and when.
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub stamp: Stamp,
}

/// What a staff member does in a class.
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

/// Request body that assigns a staff member to a class.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewStaffAssignment {
    /// Id of the staff member (UUID).
    pub staff_id: Uuid,
    /// Id of the class (UUID).
    pub class_id: Uuid,
    /// What the staff member does in the class.
    pub duty: Duty,
    /// First day of the assignment (`YYYY-MM-DD`).
    pub starts_on: NaiveDate,
    /// Last day of the assignment (`YYYY-MM-DD`); null while no end is known.
    pub ends_on: Option<NaiveDate>,
}

/// Request body that updates an assignment. Absent fields keep their value; null clears a field. The staff member and the class cannot be changed.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StaffAssignmentChange {
    /// What the staff member does in the class.
    #[schema(nullable = false)]
    pub duty: Option<Duty>,
    /// First day of the assignment (`YYYY-MM-DD`).
    #[schema(nullable = false)]
    pub starts_on: Option<NaiveDate>,
    /// Last day of the assignment (`YYYY-MM-DD`); null while no end is known.
    pub ends_on: Option<NaiveDate>,
}

/// Filters of the list of staff assignments.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct StaffAssignmentFilter {
    /// Only assignments of this staff member.
    pub staff_id: Option<Uuid>,
    /// Only assignments to this class.
    pub class_id: Option<Uuid>,
    /// Only assignments that include this day (`YYYY-MM-DD`).
    pub on: Option<NaiveDate>,
}

impl Filter for StaffAssignmentFilter {
    fn narrow(&self, query: &mut QueryBuilder<Postgres>) {
        equal(query, "staff_id", self.staff_id);
        equal(query, "class_id", self.class_id);
        period::includes(query, self.on);
    }
}

impl Resource for StaffAssignments {
    const TABLE: &'static str = "staff_assignments";
    const PATH: &'static str = "/staff-assignments";
    const SINGULAR: &'static str = "staff assignment";
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
