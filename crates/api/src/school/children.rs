//! Children of the school. Most other resources refer to one.
//!
//! Must not erase a child's data: `privacy` does.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnection, Postgres};
use sqlx::{FromRow, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::bodies::bodies;
use super::enrolments::Enrolments;
use super::period;
use crate::access::permission::{ChildrenCreate, ChildrenDelete, ChildrenRead, ChildrenUpdate};
use crate::error::Result;
use crate::resource::stored::StoredDate;
use crate::resource::{Filter, NameSearch, Order, Resource, Stamp, own_child};

/// The resource.
pub enum Children {}

/// A child of the school.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, FromRow)]
pub struct Child {
    /// Id of the child (UUID).
    pub id: Uuid,
    /// Full name as in the child's documents.
    pub full_name: String,
    /// Name that the child is called by.
    pub preferred_name: Option<String>,
    /// Date of birth (`YYYY-MM-DD`).
    #[sqlx(try_from = "StoredDate")]
    pub birth_date: Option<NaiveDate>,
    /// Sex of the child, if the school records it.
    pub sex: Option<String>,
    /// Nationality as an ISO 3166-1 alpha-2 country code, such as `PT`.
    pub nationality: Option<String>,
    /// Language spoken at home as a BCP 47 language tag, such as `pt-PT`.
    pub home_language: Option<String>,
    /// Postal address of the child; null for users who may read only their own children, because parents may live apart.
    pub address: Option<String>,
    /// Whether the guardians consent to photographs of the child.
    pub photo_consent: bool,
    /// Free-text notes for the staff; null for users who may read only their own children.
    pub notes: Option<String>,
    /// Version of the record, who wrote it and when.
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub stamp: Stamp,
}

/// Sex of a child, as the school records it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sex {
    /// Female.
    Female,
    /// Male.
    Male,
    /// Neither.
    Other,
}

bodies! {
    /// Request body that creates a child.
    NewChild {
        /// Full name as in the child's documents.
        #[schema(min_length = 1, max_length = 200, pattern = r"\S")]
        full_name: String,
        /// Whether the guardians consent to photographs of the child. Defaults to false.
        photo_consent: Option<bool>,
    }

    /// Request body that updates a child. Absent fields keep their value; null clears a field.
    ChildChange {
        /// Full name as in the child's documents.
        #[schema(min_length = 1, max_length = 200, pattern = r"\S", nullable = false)]
        full_name: Option<String>,
        /// Whether the guardians consent to photographs of the child.
        #[schema(nullable = false)]
        photo_consent: Option<bool>,
    }

    both {
        /// Name that the child is called by.
        #[schema(max_length = 100)]
        preferred_name: Option<String>,
        /// Date of birth (`YYYY-MM-DD`).
        birth_date: Option<NaiveDate>,
        /// Sex of the child, if the school records it.
        sex: Option<Sex>,
        /// Nationality as an ISO 3166-1 alpha-2 country code, such as `PT`.
        #[schema(pattern = "^[A-Z]{2}$")]
        nationality: Option<String>,
        /// Language spoken at home as a BCP 47 language tag, such as `pt-PT`.
        #[schema(pattern = "^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
        home_language: Option<String>,
        /// Postal address of the child. Refused with `FORBIDDEN` if the caller may read only their own children.
        #[schema(max_length = 500)]
        address: Option<String>,
        /// Free-text notes for the staff. Refused with `FORBIDDEN` if the caller may read only their own children.
        #[schema(max_length = 4000)]
        notes: Option<String>,
    }
}

/// Filters of the list of children.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ChildFilter {
    /// Only records whose name contains these words. Each word matches as a prefix, in any order; accents and case are ignored.
    #[param(value_type = Option<String>, max_length = 200)]
    pub name: Option<NameSearch>,
    /// Only children who are enrolled in this class today.
    pub class_id: Option<Uuid>,
    /// Only children of this guardian.
    pub guardian_id: Option<Uuid>,
}

impl Filter for ChildFilter {
    fn narrow(&self, query: &mut QueryBuilder<Postgres>) {
        if let Some(name) = &self.name {
            name.narrow(query);
        }
        if let Some(class) = self.class_id {
            query.push(
                " AND t.id IN (SELECT e.child_id FROM app.enrolments e WHERE e.deleted_at IS NULL \
                 AND app.day_of(now()) BETWEEN e.starts_on AND coalesce(e.ends_on, 'infinity') AND e.class_id = ",
            );
            query.push_bind(class).push(")");
        }
        if let Some(guardian) = self.guardian_id {
            query
                .push(" AND t.id IN (SELECT cg.child_id FROM app.child_guardians cg WHERE cg.guardian_id = ")
                .push_bind(guardian)
                .push(")");
        }
    }
}

impl Resource for Children {
    const TABLE: &'static str = "children";
    const PATH: &'static str = "/children";
    const SINGULAR: &'static str = "child";
    const COLUMNS: &'static str = "t.full_name, t.preferred_name, t.birth_date, t.sex, t.nationality, t.home_language, t.photo_consent";
    const STAFF_COLUMNS: &'static [&'static str] = &["address", "notes"];
    const WRITABLE: &'static [&'static str] =
        &["full_name", "preferred_name", "birth_date", "sex", "nationality", "home_language", "address", "photo_consent", "notes"];
    const ORDER: Order = Order { column: "t.search_name", of: "text COLLATE \"C\"", descending: false };
    const OWN: &'static str = own_child!("t.id");

    type Record = Child;
    type New = NewChild;
    type Change = ChildChange;
    type Filter = ChildFilter;
    type Read = ChildrenRead;
    type Create = ChildrenCreate;
    type Update = ChildrenUpdate;
    type Delete = ChildrenDelete;

    /// The child's enrolments end with it.
    async fn before_remove(conn: &mut PgConnection, id: Uuid) -> Result<()> {
        period::end(conn, Enrolments::TABLE, "child_id", id).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Body;
    use crate::error::Code;

    #[test]
    fn what_cannot_be_empty_cannot_be_emptied() {
        for (json, field) in [(r#"{"full_name": null}"#, "full_name"), (r#"{"photo_consent": null}"#, "photo_consent")] {
            let error = Body::<ChildChange>::read(json.as_bytes()).err().unwrap();
            assert_eq!((error.code, error.fields[0].field.as_str()), (Code::Validation, field));
        }
        assert!(Body::<ChildChange>::read(br#"{"sex": null, "notes": null, "full_name": "In\u00eas"}"#).is_ok());
    }
}
