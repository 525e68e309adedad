//! Incidents: accidents, illnesses and other events of concern.
//!
//! Must not name a second child: an event that concerns two children is recorded as two incidents.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::postgres::{PgConnection, Postgres};
use sqlx::{FromRow, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::bodies::bodies;
use super::column_enum::column_enum;
use super::day::{self, class_on_the_day_of};
use crate::access::permission::{IncidentsCreate, IncidentsDelete, IncidentsRead, IncidentsUpdate};
use crate::error::{Error, Result};
use crate::resource::filter::equal;
use crate::resource::stored::StoredMoment;
use crate::resource::{Filter, LIVE_CHILD, LockedRow, OWN_CHILD, Order, Reference, Resource, Stamp};

/// The resource.
pub enum Incidents {}

column_enum! {
    /// Kind of incident.
    IncidentKind {
        Fall = "fall", Bump = "bump", Cut = "cut", Bite = "bite", Burn = "burn", Choking = "choking", Illness = "illness",
        AllergicReaction = "allergic_reaction", Behaviour = "behaviour", Missing = "missing", Other = "other",
    }
}
column_enum! {
    /// Severity of an incident.
    IncidentSeverity { Minor = "minor", Moderate = "moderate", Serious = "serious" }
}

/// An incident: an accident, an illness or another event of concern to one child.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, FromRow)]
pub struct Incident {
    /// Id of the incident (UUID).
    pub id: Uuid,
    /// Id of the child (UUID).
    pub child_id: Uuid,
    /// Id of the child's class at that time (UUID).
    pub class_id: Option<Uuid>,
    /// Time at which the incident happened, in RFC 3339 format.
    #[sqlx(try_from = "StoredMoment")]
    pub occurred_at: DateTime<Utc>,
    /// Kind of incident.
    #[schema(value_type = IncidentKind)]
    pub kind: String,
    /// Severity of the incident.
    #[schema(value_type = IncidentSeverity)]
    pub severity: String,
    /// Place where the incident happened.
    pub location: Option<String>,
    /// Description of what happened, in free text.
    pub description: String,
    /// Description of what the staff did, in free text.
    pub action_taken: Option<String>,
    /// Id of the staff member who reported the incident (UUID).
    pub reported_by: Option<Uuid>,
    /// Time at which the guardians were notified, in RFC 3339 format; null if they were not yet.
    #[sqlx(try_from = "StoredMoment")]
    pub guardians_notified_at: Option<DateTime<Utc>>,
    /// Time at which the incident was closed, in RFC 3339 format; null while it is open.
    #[sqlx(try_from = "StoredMoment")]
    pub closed_at: Option<DateTime<Utc>>,
    /// Version of the record, who wrote it and when.
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub stamp: Stamp,
}

bodies! {
    /// Request body that records an incident.
    NewIncident {
        /// Id of the child (UUID).
        child_id: Uuid,
        /// Id of the class (UUID). Defaults to the class that the child was enrolled in on that day.
        class_id: Option<Uuid>,
        /// Time at which the incident happened, in RFC 3339 format. Must not be in the future.
        occurred_at: DateTime<Utc>,
        /// Kind of incident.
        kind: IncidentKind,
        /// Severity of the incident.
        severity: IncidentSeverity,
        /// Description of what happened, in free text.
        #[schema(min_length = 1, max_length = 4000, pattern = r"\S")]
        description: String,
        /// Id of the staff member who reported the incident (UUID). Defaults to the caller's own staff record, if there is one.
        reported_by: Option<Uuid>,
    }

    /// Request body that updates an incident. Absent fields keep their value; null clears a field.
    IncidentChange {
        /// Id of the child's class at that time (UUID).
        class_id: Option<Uuid>,
        /// Time at which the incident happened, in RFC 3339 format.
        #[schema(nullable = false)]
        occurred_at: Option<DateTime<Utc>>,
        /// Kind of incident.
        #[schema(nullable = false)]
        kind: Option<IncidentKind>,
        /// Severity of the incident.
        #[schema(nullable = false)]
        severity: Option<IncidentSeverity>,
        /// Description of what happened, in free text.
        #[schema(min_length = 1, max_length = 4000, pattern = r"\S", nullable = false)]
        description: Option<String>,
        /// Id of the staff member who reported the incident (UUID).
        reported_by: Option<Uuid>,
    }

    both {
        /// Place where the incident happened.
        #[schema(max_length = 200)]
        location: Option<String>,
        /// Description of what the staff did, in free text.
        #[schema(max_length = 4000)]
        action_taken: Option<String>,
        /// Time at which the guardians were notified, in RFC 3339 format. Must not be before the incident.
        guardians_notified_at: Option<DateTime<Utc>>,
        /// Time at which the incident was closed, in RFC 3339 format. Must not be before the incident.
        closed_at: Option<DateTime<Utc>>,
    }
}

/// Filters of the list of incidents.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct IncidentFilter {
    /// Only incidents of this child.
    pub child_id: Option<Uuid>,
    /// Only incidents of children who were in this class at that time.
    pub class_id: Option<Uuid>,
    /// Only incidents of this kind.
    pub kind: Option<IncidentKind>,
    /// Only incidents of this severity.
    pub severity: Option<IncidentSeverity>,
    /// Only closed incidents if true, only open ones if false.
    pub closed: Option<bool>,
    /// Only incidents of this day (`YYYY-MM-DD`) in the school's time zone.
    pub day: Option<NaiveDate>,
    /// Only incidents at or after this time (RFC 3339).
    pub from: Option<DateTime<Utc>>,
    /// Only incidents before this time (RFC 3339).
    pub until: Option<DateTime<Utc>>,
}

impl Filter for IncidentFilter {
    fn narrow(&self, query: &mut QueryBuilder<Postgres>) {
        equal(query, "child_id", self.child_id);
        equal(query, "class_id", self.class_id);
        equal(query, "kind", self.kind.map(IncidentKind::label));
        equal(query, "severity", self.severity.map(IncidentSeverity::label));
        if let Some(closed) = self.closed {
            query.push(" AND (t.closed_at IS NOT NULL) = ").push_bind(closed);
        }
        day::during(query, "t.occurred_at", self.day, self.from, self.until);
    }
}

impl Resource for Incidents {
    const TABLE: &'static str = "incidents";
    const PATH: &'static str = "/incidents";
    const SINGULAR: &'static str = "incident";
    const COLUMNS: &'static str = "t.child_id, t.class_id, t.occurred_at, t.kind, t.severity, t.location, t.description, t.action_taken, \
         t.reported_by, t.guardians_notified_at, t.closed_at";
    const WRITABLE: &'static [&'static str] = &[
        "child_id",
        "class_id",
        "occurred_at",
        "kind",
        "severity",
        "location",
        "description",
        "action_taken",
        "reported_by",
        "guardians_notified_at",
        "closed_at",
    ];
    const ORDER: Order = Order { column: "t.occurred_at", of: "timestamptz", descending: true };
    const LIVE: &'static str = LIVE_CHILD;
    const OWN: &'static str = OWN_CHILD;
    const REFERENCES: &'static [Reference] =
        &[Reference::CHILD, Reference::to("class_id", "classes"), Reference::to("reported_by", "staff")];
    const DERIVED: &'static [(&'static str, &'static str)] = &[("class_id", class_on_the_day_of!("r.occurred_at"))];

    type Record = Incident;
    type New = NewIncident;
    type Change = IncidentChange;
    type Filter = IncidentFilter;
    type Read = IncidentsRead;
    type Create = IncidentsCreate;
    type Update = IncidentsUpdate;
    type Delete = IncidentsDelete;

    async fn check(_: &mut PgConnection, _: Option<&LockedRow>, value: &Value) -> Result<()> {
        let wrong = day::too_far_ahead(value, "", &["occurred_at", "guardians_notified_at", "closed_at"], day::CLOCKS);
        if wrong.is_empty() { Ok(()) } else { Err(Error::invalid(wrong)) }
    }

    async fn complete(conn: &mut PgConnection, fields: &mut Map<String, Value>) -> Result<()> {
        if fields.get("reported_by").is_none_or(Value::is_null) {
            let own_record = "SELECT id FROM app.staff WHERE user_id = app.current_user_id() AND deleted_at IS NULL FOR KEY SHARE";
            let staff: Option<Uuid> = sqlx::query_scalar(own_record).fetch_optional(conn).await?;
            fields.insert("reported_by".to_owned(), staff.map(|id| id.to_string()).into());
        }
        Ok(())
    }
}
