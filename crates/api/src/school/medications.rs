//! Medications that children take at school, with the authorisation of a guardian. The doses are in
//! [`super::medication_administrations`].
//!
//! Must not log doses.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::postgres::{PgConnection, Postgres};
use sqlx::{FromRow, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::bodies::bodies;
use super::column_enum::column_enum;
use super::day;
use crate::access::permission::{HealthCreate, HealthDelete, HealthRead, HealthUpdate};
use crate::error::{Error, Result, Text};
use crate::resource::filter::equal;
use crate::resource::stored::StoredDate;
use crate::resource::{Filter, LIVE_CHILD, LockedRow, OWN_CHILD, Order, Reference, Resource, Stamp, own_child};

/// The resource.
pub enum Medications {}

column_enum! {
    /// Route by which a medication is given.
    MedicationRoute {
        Oral = "oral", Inhaled = "inhaled", Topical = "topical", Eye = "eye", Ear = "ear", Nasal = "nasal", Rectal = "rectal",
        Injected = "injected", Other = "other",
    }
}

/// A medication that a child takes at school.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, FromRow)]
pub struct Medication {
    /// Id of the medication (UUID).
    pub id: Uuid,
    /// Id of the child (UUID).
    pub child_id: Uuid,
    /// Name of the medication.
    pub name: String,
    /// Amount of one dose, such as `5 ml`.
    pub dose: String,
    /// Route by which the medication is given.
    #[schema(value_type = MedicationRoute)]
    pub route: String,
    /// Times of day for the doses as `HH:MM` in the school's time zone; an empty list means when needed.
    pub times_of_day: Vec<String>,
    /// Instructions for giving the medication, in free text.
    pub instructions: Option<String>,
    /// Name of the person who prescribed the medication.
    pub prescribed_by: Option<String>,
    /// Id of the guardian who signed the authorisation (UUID). Null, like both dates, while the medication is not authorised.
    pub authorised_by: Option<Uuid>,
    /// First day of the authorisation (`YYYY-MM-DD`).
    #[sqlx(try_from = "StoredDate")]
    pub authorised_from: Option<NaiveDate>,
    /// Last day of the authorisation (`YYYY-MM-DD`).
    #[sqlx(try_from = "StoredDate")]
    pub authorised_until: Option<NaiveDate>,
    /// Version of the record, who wrote it and when.
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub stamp: Stamp,
}

/// A time of day as `HH:MM`, in 24 hours.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$", examples("12:30"))]
pub struct TimeOfDay(pub String);

bodies! {
    /// Request body that records a medication. The three fields of the authorisation are given together or not at all.
    NewMedication {
        /// Id of the child (UUID).
        child_id: Uuid,
        /// Name of the medication.
        #[schema(min_length = 1, max_length = 200, pattern = r"\S")]
        name: String,
        /// Amount of one dose, such as `5 ml`.
        #[schema(min_length = 1, max_length = 200, pattern = r"\S")]
        dose: String,
        /// Route by which the medication is given.
        route: MedicationRoute,
        /// Times of day for the doses as `HH:MM` in the school's time zone. An empty or absent list means when needed.
        #[schema(max_items = 24)]
        times_of_day: Option<Vec<TimeOfDay>>,
    }

    /// Request body that updates a medication. Absent fields keep their value; null clears a field.
    MedicationChange {
        /// Name of the medication.
        #[schema(min_length = 1, max_length = 200, pattern = r"\S", nullable = false)]
        name: Option<String>,
        /// Amount of one dose, such as `5 ml`.
        #[schema(min_length = 1, max_length = 200, pattern = r"\S", nullable = false)]
        dose: Option<String>,
        /// Route by which the medication is given.
        #[schema(nullable = false)]
        route: Option<MedicationRoute>,
        /// Times of day for the doses as `HH:MM` in the school's time zone; an empty list means when needed.
        #[schema(max_items = 24, nullable = false)]
        times_of_day: Option<Vec<TimeOfDay>>,
    }

    both {
        /// Instructions for giving the medication, in free text.
        #[schema(max_length = 4000)]
        instructions: Option<String>,
        /// Name of the person who prescribed the medication.
        #[schema(max_length = 200)]
        prescribed_by: Option<String>,
        /// Id of the guardian of the child who signed the authorisation (UUID).
        authorised_by: Option<Uuid>,
        /// First day of the authorisation (`YYYY-MM-DD`).
        authorised_from: Option<NaiveDate>,
        /// Last day of the authorisation (`YYYY-MM-DD`).
        authorised_until: Option<NaiveDate>,
    }
}

/// Filters of the list of medications.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MedicationFilter {
    /// Only medications of this child.
    pub child_id: Option<Uuid>,
    /// Only medications of children who are enrolled in this class today.
    pub class_id: Option<Uuid>,
    /// Only medications whose authorisation covers this day (`YYYY-MM-DD`).
    pub authorised_on: Option<NaiveDate>,
    /// Only medications whose authorisation ends before this day (`YYYY-MM-DD`).
    pub ends_before: Option<NaiveDate>,
}

impl Filter for MedicationFilter {
    fn narrow(&self, query: &mut QueryBuilder<Postgres>) {
        equal(query, "child_id", self.child_id);
        day::in_class_today(query, self.class_id);
        if let Some(day) = self.authorised_on {
            query.push(" AND ").push_bind(day).push("::date BETWEEN t.authorised_from AND t.authorised_until");
        }
        if let Some(day) = self.ends_before {
            query.push(" AND t.authorised_until < ").push_bind(day);
        }
    }
}

/// The guardians of the children whose guardian the user is.
const OWN_CHILDS_GUARDIAN: &str = concat!("t.id IN (SELECT l.guardian_id FROM app.child_guardians l WHERE ", own_child!("l.child_id"), ")");

impl Resource for Medications {
    const TABLE: &'static str = "medications";
    const PATH: &'static str = "/medications";
    const SINGULAR: &'static str = "medication";
    const COLUMNS: &'static str = "t.child_id, t.name, t.dose, t.route, \
         ARRAY(SELECT to_char(u.at, 'HH24:MI') FROM unnest(t.times_of_day) WITH ORDINALITY AS u (at, n) ORDER BY u.n) AS times_of_day, \
         t.instructions, t.prescribed_by, t.authorised_by, t.authorised_from, t.authorised_until";
    const WRITABLE: &'static [&'static str] = &[
        "child_id",
        "name",
        "dose",
        "route",
        "times_of_day",
        "instructions",
        "prescribed_by",
        "authorised_by",
        "authorised_from",
        "authorised_until",
    ];
    const ORDER: Order = Order { column: "(app.search_key(t.name) COLLATE \"C\")", of: "text COLLATE \"C\"", descending: false };
    const LIVE: &'static str = LIVE_CHILD;
    const OWN: &'static str = OWN_CHILD;
    const REFERENCES: &'static [Reference] =
        &[Reference::CHILD, Reference { column: "authorised_by", table: "guardians", own: Some(OWN_CHILDS_GUARDIAN) }];

    type Record = Medication;
    type New = NewMedication;
    type Change = MedicationChange;
    type Filter = MedicationFilter;
    type Read = HealthRead;
    type Create = HealthCreate;
    type Update = HealthUpdate;
    type Delete = HealthDelete;

    /// Only a guardian of the child may authorise. The link is locked until the transaction ends.
    async fn check(conn: &mut PgConnection, row: Option<&LockedRow>, value: &Value) -> Result<()> {
        let Some(guardian) = value.get("authorised_by").and_then(Value::as_str) else { return Ok(()) };
        let link_lock = "SELECT true FROM app.child_guardians cg WHERE cg.guardian_id = $1::text::uuid
                    AND cg.child_id = coalesce($2::text::uuid, (SELECT m.child_id FROM app.medications m WHERE m.id = $3)) FOR KEY SHARE";
        let child = value.get("child_id").and_then(Value::as_str);
        let found: Option<bool> =
            sqlx::query_scalar(link_lock).bind(guardian).bind(child).bind(row.map(|row| row.id)).fetch_optional(conn).await?;
        let refused = || {
            Error::field("authorised_by", "not_guardian", Text::new("não é encarregado desta criança", "is not a guardian of this child"))
        };
        found.map(|_| ()).ok_or_else(refused)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::body::Body;

    #[test]
    fn times_are_hours_and_minutes_and_what_may_not_be_empty_cannot_be_emptied() {
        let read = |value: &Value| Body::<MedicationChange>::read(value.to_string().as_bytes()).err().map(|error| error.fields);
        assert!(read(&json!({"times_of_day": ["08:00", "23:59"], "authorised_by": null})).is_none());
        let mut wrong = read(&json!({"times_of_day": ["24:00"], "name": null, "dose": null, "route": null})).unwrap();
        wrong.sort_by(|a, b| a.field.cmp(&b.field));
        assert_eq!(wrong.iter().map(|field| field.field.as_str()).collect::<Vec<_>>(), ["dose", "name", "route", "times_of_day.0"]);
        assert_eq!(read(&json!({"times_of_day": null})).unwrap()[0].field, "times_of_day");
    }
}
