//! Allergies: what a child must not meet, read by the kitchen and by every teacher.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use sqlx::postgres::Postgres;
use sqlx::{FromRow, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::column_enum::column_enum;
use super::day;
use crate::access::permission::{HealthCreate, HealthDelete, HealthRead, HealthUpdate};
use crate::resource::filter::equal;
use crate::resource::{Filter, LIVE_CHILD, OWN_CHILD, Order, Reference, Resource, Stamp};

/// The resource.
pub enum Allergies {}

column_enum! {
    /// What an allergy is to.
    AllergyKind {
        Food = "food", Medication = "medication", Insect = "insect", Environment = "environment", Contact = "contact", Other = "other",
    }
}
column_enum! {
    /// How bad it gets.
    AllergySeverity { Mild = "mild", Moderate = "moderate", Severe = "severe" }
}

/// An allergy or intolerance of a child.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, FromRow)]
pub struct Allergy {
    /// Its id.
    pub id: Uuid,
    /// Whose.
    pub child_id: Uuid,
    /// What the child must not meet.
    pub allergen: String,
    /// What that is.
    #[schema(value_type = AllergyKind)]
    pub kind: String,
    /// How bad it gets.
    #[schema(value_type = AllergySeverity)]
    pub severity: String,
    /// How it shows.
    pub reaction: Option<String>,
    /// What to do when it shows.
    pub action_plan: Option<String>,
    /// Since when it is known.
    pub diagnosed_on: Option<NaiveDate>,
    /// Who wrote it, and when.
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub stamp: Stamp,
}

/// An allergy to be recorded.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAllergy {
    /// Whose.
    pub child_id: Uuid,
    /// What the child must not meet; once for each child, whatever its accents and case.
    #[schema(min_length = 1, max_length = 200, pattern = r"\S")]
    pub allergen: String,
    /// What that is.
    pub kind: AllergyKind,
    /// How bad it gets.
    pub severity: AllergySeverity,
    /// How it shows.
    #[schema(max_length = 2000)]
    pub reaction: Option<String>,
    /// What to do when it shows.
    #[schema(max_length = 4000)]
    pub action_plan: Option<String>,
    /// Since when it is known.
    pub diagnosed_on: Option<NaiveDate>,
}

/// Fields of an allergy to be changed.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AllergyChange {
    /// What the child must not meet.
    #[schema(min_length = 1, max_length = 200, pattern = r"\S", nullable = false)]
    pub allergen: Option<String>,
    /// What that is.
    #[schema(nullable = false)]
    pub kind: Option<AllergyKind>,
    /// How bad it gets.
    #[schema(nullable = false)]
    pub severity: Option<AllergySeverity>,
    /// How it shows.
    #[schema(max_length = 2000)]
    pub reaction: Option<String>,
    /// What to do when it shows.
    #[schema(max_length = 4000)]
    pub action_plan: Option<String>,
    /// Since when it is known.
    pub diagnosed_on: Option<NaiveDate>,
}

/// Which allergies.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AllergyFilter {
    /// Of this child.
    pub child_id: Option<Uuid>,
    /// Of the children who are in this class today.
    pub class_id: Option<Uuid>,
    /// To this kind of thing.
    pub kind: Option<AllergyKind>,
    /// Of this severity.
    pub severity: Option<AllergySeverity>,
}

impl Filter for AllergyFilter {
    fn narrow(&self, query: &mut QueryBuilder<Postgres>) {
        equal(query, "child_id", self.child_id);
        day::in_class_today(query, self.class_id);
        equal(query, "kind", self.kind.map(AllergyKind::label));
        equal(query, "severity", self.severity.map(AllergySeverity::label));
    }
}

impl Resource for Allergies {
    const TABLE: &'static str = "allergies";
    const PATH: &'static str = "/allergies";
    const SINGULAR: &'static str = "allergy";
    const COLUMNS: &'static str = "t.child_id, t.allergen, t.kind, t.severity, t.reaction, t.action_plan, t.diagnosed_on";
    const WRITABLE: &'static [&'static str] = &["child_id", "allergen", "kind", "severity", "reaction", "action_plan", "diagnosed_on"];
    const ORDER: Order = Order { column: "(app.search_key(t.allergen) COLLATE \"C\")", of: "text COLLATE \"C\"", descending: false };
    const LIVE: &'static str = LIVE_CHILD;
    const OWN: &'static str = OWN_CHILD;
    const REFERENCES: &'static [Reference] = &[Reference::CHILD];

    type Record = Allergy;
    type New = NewAllergy;
    type Change = AllergyChange;
    type Filter = AllergyFilter;
    type Read = HealthRead;
    type Create = HealthCreate;
    type Update = HealthUpdate;
    type Delete = HealthDelete;
}
