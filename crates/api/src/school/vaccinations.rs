//! Vaccinations: what a child was given, and what is due.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use sqlx::postgres::Postgres;
use sqlx::{FromRow, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::day;
use crate::access::permission::{HealthCreate, HealthDelete, HealthRead, HealthUpdate};
use crate::resource::filter::equal;
use crate::resource::{Filter, LIVE_CHILD, OWN_CHILD, Order, Reference, Resource, Stamp};

/// The resource.
pub enum Vaccinations {}

/// One dose of a vaccine: due, given, or both.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, FromRow)]
pub struct Vaccination {
    /// Its id.
    pub id: Uuid,
    /// Whose.
    pub child_id: Uuid,
    /// The vaccine.
    pub vaccine: String,
    /// Which dose of it.
    pub dose_number: i16,
    /// When it is due.
    pub due_on: Option<NaiveDate>,
    /// When it was given.
    pub given_on: Option<NaiveDate>,
    /// Of which lot.
    pub lot_number: Option<String>,
    /// Where, or by whom.
    pub provider: Option<String>,
    /// In words.
    pub notes: Option<String>,
    /// Who wrote it, and when.
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub stamp: Stamp,
}

/// A dose to be recorded: due, given, or both.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewVaccination {
    /// Whose.
    pub child_id: Uuid,
    /// The vaccine.
    #[schema(min_length = 1, max_length = 200, pattern = r"\S")]
    pub vaccine: String,
    /// Which dose of it; the first, unless said.
    #[schema(minimum = 1, maximum = 20)]
    pub dose_number: Option<i16>,
    /// When it is due; required unless it was given.
    pub due_on: Option<NaiveDate>,
    /// When it was given; required unless it is due.
    pub given_on: Option<NaiveDate>,
    /// Of which lot.
    #[schema(max_length = 100)]
    pub lot_number: Option<String>,
    /// Where, or by whom.
    #[schema(max_length = 200)]
    pub provider: Option<String>,
    /// In words.
    #[schema(max_length = 4000)]
    pub notes: Option<String>,
}

/// Fields of a dose to be changed.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VaccinationChange {
    /// The vaccine.
    #[schema(min_length = 1, max_length = 200, pattern = r"\S", nullable = false)]
    pub vaccine: Option<String>,
    /// Which dose of it.
    #[schema(minimum = 1, maximum = 20, nullable = false)]
    pub dose_number: Option<i16>,
    /// When it is due.
    pub due_on: Option<NaiveDate>,
    /// When it was given.
    pub given_on: Option<NaiveDate>,
    /// Of which lot.
    #[schema(max_length = 100)]
    pub lot_number: Option<String>,
    /// Where, or by whom.
    #[schema(max_length = 200)]
    pub provider: Option<String>,
    /// In words.
    #[schema(max_length = 4000)]
    pub notes: Option<String>,
}

/// Which doses.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct VaccinationFilter {
    /// Of this child.
    pub child_id: Option<Uuid>,
    /// Of the children who are in this class today.
    pub class_id: Option<Uuid>,
    /// Not given yet, and due before this day.
    pub due_before: Option<NaiveDate>,
}

impl Filter for VaccinationFilter {
    fn narrow(&self, query: &mut QueryBuilder<Postgres>) {
        equal(query, "child_id", self.child_id);
        day::in_class_today(query, self.class_id);
        if let Some(day) = self.due_before {
            query.push(" AND t.given_on IS NULL AND t.due_on < ").push_bind(day);
        }
    }
}

impl Resource for Vaccinations {
    const TABLE: &'static str = "vaccinations";
    const PATH: &'static str = "/vaccinations";
    const SINGULAR: &'static str = "vaccination";
    const COLUMNS: &'static str = "t.child_id, t.vaccine, t.dose_number, t.due_on, t.given_on, t.lot_number, t.provider, t.notes";
    const WRITABLE: &'static [&'static str] =
        &["child_id", "vaccine", "dose_number", "due_on", "given_on", "lot_number", "provider", "notes"];
    // One of the two is there, by constraint.
    const ORDER: Order = Order { column: "coalesce(t.due_on, t.given_on)", of: "date", descending: false };
    const LIVE: &'static str = LIVE_CHILD;
    const OWN: &'static str = OWN_CHILD;
    const REFERENCES: &'static [Reference] = &[Reference::CHILD];

    type Record = Vaccination;
    type New = NewVaccination;
    type Change = VaccinationChange;
    type Filter = VaccinationFilter;
    type Read = HealthRead;
    type Create = HealthCreate;
    type Update = HealthUpdate;
    type Delete = HealthDelete;
}
