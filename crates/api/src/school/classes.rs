//! Classes: the groups of a school year.

use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnection, Postgres};
use sqlx::{FromRow, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::access::permission::{ClassesCreate, ClassesDelete, ClassesRead, ClassesUpdate};
use crate::error::{Code, Error, Field, Result, Text};
use crate::resource::{Filter, Order, Resource, Stamp};

/// The resource.
pub enum Classes {}

/// A class.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, FromRow)]
pub struct Class {
    /// Its id.
    pub id: Uuid,
    /// What it is called.
    pub name: String,
    /// The year in which its school year begins: 2026 is 2026/2027.
    pub school_year: i16,
    /// Where it is.
    pub room: Option<String>,
    /// For children from this age on, in months.
    pub min_age_months: Option<i16>,
    /// For children up to this age, in months.
    pub max_age_months: Option<i16>,
    /// How many children it holds; null: not said.
    pub capacity: Option<i16>,
    /// Who wrote it, and when.
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub stamp: Stamp,
}

/// A class to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewClass {
    /// What it is called; no other of the school year is.
    #[schema(min_length = 1, max_length = 100, pattern = r"\S")]
    pub name: String,
    /// The year in which its school year begins: 2026 is 2026/2027.
    #[schema(minimum = 2000, maximum = 2100)]
    pub school_year: i16,
    /// Where it is.
    #[schema(max_length = 100)]
    pub room: Option<String>,
    /// For children from this age on, in months.
    #[schema(minimum = 0, maximum = 144)]
    pub min_age_months: Option<i16>,
    /// For children up to this age, in months.
    #[schema(minimum = 0, maximum = 144)]
    pub max_age_months: Option<i16>,
    /// How many children it holds.
    #[schema(minimum = 1, maximum = 200)]
    pub capacity: Option<i16>,
}

/// Fields of a class to be changed. A capacity below the children that it has takes none of them away.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClassChange {
    /// What it is called; no other of the school year is.
    #[schema(min_length = 1, max_length = 100, pattern = r"\S", nullable = false)]
    pub name: Option<String>,
    /// The year in which its school year begins: 2026 is 2026/2027.
    #[schema(minimum = 2000, maximum = 2100, nullable = false)]
    pub school_year: Option<i16>,
    /// Where it is.
    #[schema(max_length = 100)]
    pub room: Option<String>,
    /// For children from this age on, in months.
    #[schema(minimum = 0, maximum = 144)]
    pub min_age_months: Option<i16>,
    /// For children up to this age, in months.
    #[schema(minimum = 0, maximum = 144)]
    pub max_age_months: Option<i16>,
    /// How many children it holds.
    #[schema(minimum = 1, maximum = 200)]
    pub capacity: Option<i16>,
}

/// Which classes.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ClassFilter {
    /// Of the school year that begins in this year.
    pub school_year: Option<i16>,
}

impl Filter for ClassFilter {
    fn narrow(&self, query: &mut QueryBuilder<Postgres>) {
        if let Some(year) = self.school_year {
            query.push(" AND t.school_year = ").push_bind(year);
        }
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

    /// Not while children are in it, today or later. The staff's places in it end with it.
    async fn before_remove(conn: &mut PgConnection, id: Uuid) -> Result<()> {
        let look = "SELECT EXISTS (SELECT FROM app.enrolments e JOIN app.children c ON c.id = e.child_id AND c.deleted_at IS NULL
                                   WHERE e.class_id = $1 AND e.deleted_at IS NULL AND coalesce(e.ends_on, 'infinity') >= app.day_of(now()))";
        if sqlx::query_scalar(look).bind(id).fetch_one(&mut *conn).await? {
            let message = Text::new("tem crianças inscritas", "has children enrolled");
            return Err(Error { fields: vec![Field { field: "id".into(), code: "in_use", message }], ..Error::new(Code::Conflict) });
        }
        super::staff_assignments::end(conn, "class_id", id).await
    }
}
