//! Allergies and intolerances of children. The kitchen and every teacher read them.
//!
//! Must not hold medicines: `medications` does.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use sqlx::postgres::Postgres;
use sqlx::{FromRow, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::bodies::bodies;
use super::column_enum::column_enum;
use super::day;
use crate::access::permission::{HealthCreate, HealthDelete, HealthRead, HealthUpdate};
use crate::resource::filter::equal;
use crate::resource::stored::StoredDate;
use crate::resource::{Filter, LIVE_CHILD, OWN_CHILD, Order, Reference, Resource, Stamp};

/// The resource.
pub enum Allergies {}

column_enum! {
    /// Kind of substance that a child is allergic to.
    AllergyKind {
        Food = "food", Medication = "medication", Insect = "insect", Environment = "environment", Contact = "contact", Other = "other",
    }
}
column_enum! {
    /// Severity of an allergic reaction.
    AllergySeverity { Mild = "mild", Moderate = "moderate", Severe = "severe" }
}

/// An allergy or intolerance of a child.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, FromRow)]
pub struct Allergy {
    /// Id of the allergy (UUID).
    pub id: Uuid,
    /// Id of the child (UUID).
    pub child_id: Uuid,
    /// Substance that the child must avoid, such as `amendoim`.
    pub allergen: String,
    /// Kind of substance.
    #[schema(value_type = AllergyKind)]
    pub kind: String,
    /// Severity of the reaction.
    #[schema(value_type = AllergySeverity)]
    pub severity: String,
    /// Symptoms of the reaction, in free text.
    pub reaction: Option<String>,
    /// What to do when the child reacts, in free text.
    pub action_plan: Option<String>,
    /// Date of the diagnosis (`YYYY-MM-DD`).
    #[sqlx(try_from = "StoredDate")]
    pub diagnosed_on: Option<NaiveDate>,
    /// Version of the record, who wrote it and when.
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub stamp: Stamp,
}

bodies! {
    /// Request body that records an allergy.
    NewAllergy {
        /// Id of the child (UUID).
        child_id: Uuid,
        /// Substance that the child must avoid, such as `amendoim`. A child has each allergen once; accents and case are ignored.
        #[schema(min_length = 1, max_length = 200, pattern = r"\S")]
        allergen: String,
        /// Kind of substance.
        kind: AllergyKind,
        /// Severity of the reaction.
        severity: AllergySeverity,
    }

    /// Request body that updates an allergy. Absent fields keep their value; null clears a field.
    AllergyChange {
        /// Substance that the child must avoid, such as `amendoim`.
        #[schema(min_length = 1, max_length = 200, pattern = r"\S", nullable = false)]
        allergen: Option<String>,
        /// Kind of substance.
        #[schema(nullable = false)]
        kind: Option<AllergyKind>,
        /// Severity of the reaction.
        #[schema(nullable = false)]
        severity: Option<AllergySeverity>,
    }

    both {
        /// Symptoms of the reaction, in free text.
        #[schema(max_length = 2000)]
        reaction: Option<String>,
        /// What to do when the child reacts, in free text.
        #[schema(max_length = 4000)]
        action_plan: Option<String>,
        /// Date of the diagnosis (`YYYY-MM-DD`).
        diagnosed_on: Option<NaiveDate>,
    }
}

/// Filters of the list of allergies.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AllergyFilter {
    /// Only allergies of this child.
    pub child_id: Option<Uuid>,
    /// Only allergies of children who are enrolled in this class today.
    pub class_id: Option<Uuid>,
    /// Only allergies to this kind of substance.
    pub kind: Option<AllergyKind>,
    /// Only allergies of this severity.
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
