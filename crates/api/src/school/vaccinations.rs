//! Vaccinations: doses of vaccines that children were given or are due.
//!
//! Must not hold medicines that a child takes at school: `medications` does.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use sqlx::postgres::Postgres;
use sqlx::{FromRow, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::bodies::bodies;
use super::day;
use crate::access::permission::{HealthCreate, HealthDelete, HealthRead, HealthUpdate};
use crate::resource::filter::equal;
use crate::resource::stored::StoredDate;
use crate::resource::{Filter, LIVE_CHILD, OWN_CHILD, Order, Reference, Resource, Stamp};

/// The resource.
pub enum Vaccinations {}

/// One dose of a vaccine that a child is due, was given, or both.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, FromRow)]
pub struct Vaccination {
    /// Id of the vaccination (UUID).
    pub id: Uuid,
    /// Id of the child (UUID).
    pub child_id: Uuid,
    /// Name of the vaccine.
    pub vaccine: String,
    /// Number of the dose in the series, starting at 1.
    pub dose_number: i16,
    /// Date on which the dose is due (`YYYY-MM-DD`).
    #[sqlx(try_from = "StoredDate")]
    pub due_on: Option<NaiveDate>,
    /// Date on which the dose was given (`YYYY-MM-DD`); null if it was not given yet.
    #[sqlx(try_from = "StoredDate")]
    pub given_on: Option<NaiveDate>,
    /// Lot number of the vaccine.
    pub lot_number: Option<String>,
    /// Person or institution that gave the dose.
    pub provider: Option<String>,
    /// Free-text notes about the dose.
    pub notes: Option<String>,
    /// Version of the record, who wrote it and when.
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub stamp: Stamp,
}

bodies! {
    /// Request body that records a dose of a vaccine that is due, was given, or both.
    NewVaccination {
        /// Id of the child (UUID).
        child_id: Uuid,
        /// Name of the vaccine.
        #[schema(min_length = 1, max_length = 200, pattern = r"\S")]
        vaccine: String,
        /// Number of the dose in the series, starting at 1. Defaults to 1.
        #[schema(minimum = 1, maximum = 20)]
        dose_number: Option<i16>,
        /// Date on which the dose is due (`YYYY-MM-DD`). Required if `given_on` is absent.
        due_on: Option<NaiveDate>,
        /// Date on which the dose was given (`YYYY-MM-DD`). Required if `due_on` is absent.
        given_on: Option<NaiveDate>,
    }

    /// Request body that updates a vaccination. Absent fields keep their value; null clears a field.
    VaccinationChange {
        /// Name of the vaccine.
        #[schema(min_length = 1, max_length = 200, pattern = r"\S", nullable = false)]
        vaccine: Option<String>,
        /// Number of the dose in the series, starting at 1.
        #[schema(minimum = 1, maximum = 20, nullable = false)]
        dose_number: Option<i16>,
        /// Date on which the dose is due (`YYYY-MM-DD`).
        due_on: Option<NaiveDate>,
        /// Date on which the dose was given (`YYYY-MM-DD`); null if it was not given yet.
        given_on: Option<NaiveDate>,
    }

    both {
        /// Lot number of the vaccine.
        #[schema(max_length = 100)]
        lot_number: Option<String>,
        /// Person or institution that gave the dose.
        #[schema(max_length = 200)]
        provider: Option<String>,
        /// Free-text notes about the dose.
        #[schema(max_length = 4000)]
        notes: Option<String>,
    }
}

/// Filters of the list of vaccinations.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct VaccinationFilter {
    /// Only vaccinations of this child.
    pub child_id: Option<Uuid>,
    /// Only vaccinations of children who are enrolled in this class today.
    pub class_id: Option<Uuid>,
    /// Only doses that are due before this day (`YYYY-MM-DD`) and were not given yet.
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
    // A constraint requires one of the two.
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
