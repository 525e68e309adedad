//! Classes: groups of children in one school year.
//!
//! Must not enrol anybody: `enrolments` does.

use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnection, Postgres};
use sqlx::{FromRow, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::bodies::bodies;
use super::period;
use super::staff_assignments::StaffAssignments;
use crate::access::permission::{ClassesCreate, ClassesDelete, ClassesRead, ClassesUpdate};
use crate::error::{Error, Result, Text};
use crate::resource::filter::equal;
use crate::resource::{Filter, Order, Resource, Stamp};

/// The resource.
pub enum Classes {}

/// A class: a group of children in one school year.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, FromRow)]
pub struct Class {
    /// Id of the class (UUID).
    pub id: Uuid,
    /// Name of the class.
    pub name: String,
    /// Calendar year in which the school year begins: 2026 stands for 2026/2027.
    pub school_year: i16,
    /// Room in which the class is held.
    pub room: Option<String>,
    /// Lowest age of the children, in months.
    pub min_age_months: Option<i16>,
    /// Highest age of the children, in months.
    pub max_age_months: Option<i16>,
    /// Maximum number of children on any day; null for no limit.
    pub capacity: Option<i16>,
    /// Version of the record, who wrote it and when.
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub stamp: Stamp,
}

bodies! {
    /// Request body that creates a class.
    NewClass {
        /// Name of the class, unique within the school year.
        #[schema(min_length = 1, max_length = 100, pattern = r"\S")]
        name: String,
        /// Calendar year in which the school year begins: 2026 stands for 2026/2027.
        #[schema(minimum = 2000, maximum = 2100)]
        school_year: i16,
    }

    /// Request body that updates a class. Absent fields keep their value; null clears a field. A capacity below the number of enrolled children removes
    /// none of them.
    ClassChange {
        /// Name of the class, unique within the school year.
        #[schema(min_length = 1, max_length = 100, pattern = r"\S", nullable = false)]
        name: Option<String>,
        /// Calendar year in which the school year begins: 2026 stands for 2026/2027.
        #[schema(minimum = 2000, maximum = 2100, nullable = false)]
        school_year: Option<i16>,
    }

    both {
        /// Room in which the class is held.
        #[schema(max_length = 100)]
        room: Option<String>,
        /// Lowest age of the children, in months.
        #[schema(minimum = 0, maximum = 144)]
        min_age_months: Option<i16>,
        /// Highest age of the children, in months.
        #[schema(minimum = 0, maximum = 144)]
        max_age_months: Option<i16>,
        /// Maximum number of children on any day; null for no limit.
        #[schema(minimum = 1, maximum = 200)]
        capacity: Option<i16>,
    }
}

/// Filters of the list of classes.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ClassFilter {
    /// Only classes of the school year that begins in this calendar year.
    pub school_year: Option<i16>,
}

impl Filter for ClassFilter {
    fn narrow(&self, query: &mut QueryBuilder<Postgres>) {
        equal(query, "school_year", self.school_year);
    }
}

impl Resource for Classes {
    const TABLE: &'static str = "classes";
    const PATH: &'static str = "/classes";
    const SINGULAR: &'static str = "class";
    const COLUMNS: &'static str = "t.name, t.school_year, t.room, t.min_age_months, t.max_age_months, t.capacity";
    const WRITABLE: &'static [&'static str] = &["name", "school_year", "room", "min_age_months", "max_age_months", "capacity"];
    const ORDER: Order = Order { column: "(app.search_key(t.name) COLLATE \"C\")", of: "text COLLATE \"C\"", descending: false };
    const OWN: &'static str = "t.id IN (SELECT e.class_id FROM app.enrolments e \
         JOIN app.children c ON c.id = e.child_id AND c.deleted_at IS NULL \
         JOIN app.child_guardians cg ON cg.child_id = e.child_id JOIN app.guardians g ON g.id = cg.guardian_id \
         WHERE e.deleted_at IS NULL AND g.user_id = {user} AND g.deleted_at IS NULL)";
    const CACHED: Option<&'static str> = Some("classes");

    type Record = Class;
    type New = NewClass;
    type Change = ClassChange;
    type Filter = ClassFilter;
    type Read = ClassesRead;
    type Create = ClassesCreate;
    type Update = ClassesUpdate;
    type Delete = ClassesDelete;

    /// Refuses a class in which children are enrolled today or later. Its staff assignments end with it.
    async fn before_remove(conn: &mut PgConnection, id: Uuid) -> Result<()> {
        let enrolled = "SELECT EXISTS (SELECT FROM app.enrolments e JOIN app.children c ON c.id = e.child_id AND c.deleted_at IS NULL
                                   WHERE e.class_id = $1 AND e.deleted_at IS NULL AND coalesce(e.ends_on, 'infinity') >= app.day_of(now()))";
        if sqlx::query_scalar(enrolled).bind(id).fetch_one(&mut *conn).await? {
            return Err(Error::conflict("id", "in_use", Text::new("a sala tem crianças inscritas", "the class has enrolled children")));
        }
        period::end(conn, StaffAssignments::TABLE, "class_id", id).await
    }
}
