//! Staff: people who work at the school.
//!
//! Must not hold accounts or rights: `accounts` and `roles` do.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnection, Postgres};
use sqlx::{FromRow, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::bodies::bodies;
use super::period;
use super::staff_assignments::StaffAssignments;
use crate::access::permission::{StaffCreate, StaffDelete, StaffRead, StaffUpdate};
use crate::error::Result;
use crate::resource::stored::StoredDate;
use crate::resource::{Filter, NameSearch, OWN_NONE, Order, Resource, Stamp};

/// The resource.
pub enum Staff {}

/// A person who works at the school.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, FromRow)]
pub struct StaffMember {
    /// Id of the staff member (UUID).
    pub id: Uuid,
    /// Full name as in the person's documents.
    pub full_name: String,
    /// Job title, such as `Educadora de infância`.
    pub job_title: Option<String>,
    /// E-mail address of the staff member.
    pub email: Option<String>,
    /// Telephone number in digits, with spaces, hyphens, parentheses and a leading `+` allowed.
    pub phone_number: Option<String>,
    /// First day of employment (`YYYY-MM-DD`).
    #[sqlx(try_from = "StoredDate")]
    pub starts_on: Option<NaiveDate>,
    /// Last day of employment (`YYYY-MM-DD`); null while no end is known.
    #[sqlx(try_from = "StoredDate")]
    pub ends_on: Option<NaiveDate>,
    /// Last day on which the first-aid certificate is valid (`YYYY-MM-DD`).
    #[sqlx(try_from = "StoredDate")]
    pub first_aid_certified_until: Option<NaiveDate>,
    /// Id of the account that the staff member signs in with (UUID); null if there is none.
    pub user_id: Option<Uuid>,
    /// Version of the record, who wrote it and when.
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub stamp: Stamp,
}

bodies! {
    /// Request body that creates a staff member.
    NewStaffMember {
        /// Full name as in the person's documents.
        #[schema(min_length = 1, max_length = 200, pattern = r"\S")]
        full_name: String,
    }

    /// Request body that updates a staff member. Absent fields keep their value; null clears a field.
    StaffMemberChange {
        /// Full name as in the person's documents.
        #[schema(min_length = 1, max_length = 200, pattern = r"\S", nullable = false)]
        full_name: Option<String>,
    }

    both {
        /// Job title, such as `Educadora de infância`.
        #[schema(max_length = 100)]
        job_title: Option<String>,
        /// E-mail address of the staff member.
        #[schema(max_length = 200, pattern = r"^[^@\s]+@[^@\s]+$")]
        email: Option<String>,
        /// Telephone number in digits, with spaces, hyphens, parentheses and a leading `+` allowed.
        #[schema(pattern = r"^\+?[0-9 ()-]{5,30}$")]
        phone_number: Option<String>,
        /// First day of employment (`YYYY-MM-DD`).
        starts_on: Option<NaiveDate>,
        /// Last day of employment (`YYYY-MM-DD`); null while no end is known.
        ends_on: Option<NaiveDate>,
        /// Last day on which the first-aid certificate is valid (`YYYY-MM-DD`).
        first_aid_certified_until: Option<NaiveDate>,
        /// Id of the account that the staff member signs in with (UUID); null if there is none.
        user_id: Option<Uuid>,
    }
}

/// Filters of the list of staff.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct StaffFilter {
    /// Only records whose name contains these words. Each word matches as a prefix, in any order; accents and case are ignored.
    #[param(value_type = Option<String>, max_length = 200)]
    pub name: Option<NameSearch>,
    /// Only staff assigned to this class on the day `on`, or today if `on` is absent.
    pub class_id: Option<Uuid>,
    /// Only staff employed on this day (`YYYY-MM-DD`).
    pub on: Option<NaiveDate>,
}

impl Filter for StaffFilter {
    fn narrow(&self, query: &mut QueryBuilder<Postgres>) {
        if let Some(name) = &self.name {
            name.narrow(query);
        }
        if let Some(class) = self.class_id {
            query.push(" AND t.id IN (SELECT a.staff_id FROM app.staff_assignments a WHERE a.deleted_at IS NULL AND a.class_id = ");
            query.push_bind(class).push(" AND coalesce(").push_bind(self.on);
            query.push(", app.day_of(now())) BETWEEN a.starts_on AND coalesce(a.ends_on, 'infinity'))");
        }
        if let Some(day) = self.on {
            query.push(" AND ").push_bind(day).push(" BETWEEN coalesce(t.starts_on, '-infinity') AND coalesce(t.ends_on, 'infinity')");
        }
    }
}

impl Resource for Staff {
    const TABLE: &'static str = "staff";
    const PATH: &'static str = "/staff";
    const SINGULAR: &'static str = "staff member";
    const COLUMNS: &'static str =
        "t.full_name, t.job_title, t.email, t.phone_number, t.starts_on, t.ends_on, t.first_aid_certified_until, t.user_id";
    const WRITABLE: &'static [&'static str] =
        &["full_name", "job_title", "email", "phone_number", "starts_on", "ends_on", "first_aid_certified_until", "user_id"];
    const ACCOUNT: Option<&'static str> = Some("user_id");
    const ORDER: Order = Order { column: "t.search_name", of: "text COLLATE \"C\"", descending: false };
    const OWN: &'static str = OWN_NONE;

    type Record = StaffMember;
    type New = NewStaffMember;
    type Change = StaffMemberChange;
    type Filter = StaffFilter;
    type Read = StaffRead;
    type Create = StaffCreate;
    type Update = StaffUpdate;
    type Delete = StaffDelete;

    /// The assignments of a staff member end with it.
    async fn before_remove(conn: &mut PgConnection, id: Uuid) -> Result<()> {
        period::end(conn, StaffAssignments::TABLE, "staff_id", id).await
    }
}
