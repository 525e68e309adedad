//! Incidents: falls, bites, fevers; what was done, and when the guardians were told. An event with two children is two of them.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::postgres::{PgConnection, Postgres};
use sqlx::{FromRow, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::column_enum::column_enum;
use super::day;
use crate::access::permission::{IncidentsCreate, IncidentsDelete, IncidentsRead, IncidentsUpdate};
use crate::error::Result;
use crate::resource::filter::equal;
use crate::resource::{Filter, LIVE_CHILD, OWN_CHILD, Order, Reference, Resource, Stamp};

/// The resource.
pub enum Incidents {}

column_enum! {
    /// What happened.
    IncidentKind {
        Fall = "fall", Bump = "bump", Cut = "cut", Bite = "bite", Burn = "burn", Choking = "choking", Illness = "illness",
        AllergicReaction = "allergic_reaction", Behaviour = "behaviour", Missing = "missing", Other = "other",
    }
}
column_enum! {
    /// How bad it was.
    IncidentSeverity { Minor = "minor", Moderate = "moderate", Serious = "serious" }
}

/// An accident, illness or other event of concern.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, FromRow)]
pub struct Incident {
    /// Its id.
    pub id: Uuid,
    /// To whom.
    pub child_id: Uuid,
    /// The child's class at that moment.
    pub class_id: Option<Uuid>,
    /// When.
    pub occurred_at: DateTime<Utc>,
    /// What.
    #[schema(value_type = IncidentKind)]
    pub kind: String,
    /// How bad.
    #[schema(value_type = IncidentSeverity)]
    pub severity: String,
    /// Where.
    pub location: Option<String>,
    /// In words.
    pub description: String,
    /// What was done.
    pub action_taken: Option<String>,
    /// By which member of the staff it was reported.
    pub reported_by: Option<Uuid>,
    /// When the guardians were told.
    pub guardians_notified_at: Option<DateTime<Utc>>,
    /// When nothing more was to be done about it.
    pub closed_at: Option<DateTime<Utc>>,
    /// Who wrote it, and when.
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub stamp: Stamp,
}

/// An incident to be recorded.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewIncident {
    /// To whom.
    pub child_id: Uuid,
    /// The child's class at that moment; unless said, the one it was in on that day.
    pub class_id: Option<Uuid>,
    /// When.
    pub occurred_at: DateTime<Utc>,
    /// What.
    pub kind: IncidentKind,
    /// How bad.
    pub severity: IncidentSeverity,
    /// Where.
    #[schema(max_length = 200)]
    pub location: Option<String>,
    /// In words.
    #[schema(min_length = 1, max_length = 4000, pattern = r"\S")]
    pub description: String,
    /// What was done.
    #[schema(max_length = 4000)]
    pub action_taken: Option<String>,
    /// By which member of the staff it was reported; the user, if it is one, unless said.
    pub reported_by: Option<Uuid>,
    /// When the guardians were told; not before it happened.
    pub guardians_notified_at: Option<DateTime<Utc>>,
    /// When nothing more was to be done about it; not before it happened.
    pub closed_at: Option<DateTime<Utc>>,
}

/// Fields of an incident to be changed.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IncidentChange {
    /// The child's class at that moment.
    pub class_id: Option<Uuid>,
    /// When.
    #[schema(nullable = false)]
    pub occurred_at: Option<DateTime<Utc>>,
    /// What.
    #[schema(nullable = false)]
    pub kind: Option<IncidentKind>,
    /// How bad.
    #[schema(nullable = false)]
    pub severity: Option<IncidentSeverity>,
    /// Where.
    #[schema(max_length = 200)]
    pub location: Option<String>,
    /// In words.
    #[schema(min_length = 1, max_length = 4000, pattern = r"\S", nullable = false)]
    pub description: Option<String>,
    /// What was done.
    #[schema(max_length = 4000)]
    pub action_taken: Option<String>,
    /// By which member of the staff it was reported.
    pub reported_by: Option<Uuid>,
    /// When the guardians were told; not before it happened.
    pub guardians_notified_at: Option<DateTime<Utc>>,
    /// When nothing more was to be done about it; not before it happened.
    pub closed_at: Option<DateTime<Utc>>,
}

/// Which incidents.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct IncidentFilter {
    /// To this child.
    pub child_id: Option<Uuid>,
    /// To children who were in this class at that moment.
    pub class_id: Option<Uuid>,
    /// Of this kind.
    pub kind: Option<IncidentKind>,
    /// Of this severity.
    pub severity: Option<IncidentSeverity>,
    /// Closed, or still open.
    pub closed: Option<bool>,
    /// On this day at the school.
    pub day: Option<NaiveDate>,
    /// At this moment or later.
    pub from: Option<DateTime<Utc>>,
    /// Before this moment.
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

    type Record = Incident;
    type New = NewIncident;
    type Change = IncidentChange;
    type Filter = IncidentFilter;
    type Read = IncidentsRead;
    type Create = IncidentsCreate;
    type Update = IncidentsUpdate;
    type Delete = IncidentsDelete;

    async fn complete(conn: &mut PgConnection, fields: &mut Map<String, Value>) -> Result<()> {
        day::fill_class(conn, fields, "occurred_at").await?;
        if fields.get("reported_by").is_none_or(Value::is_null) {
            let look = "SELECT id FROM app.staff WHERE user_id = app.current_user_id() AND deleted_at IS NULL FOR KEY SHARE";
            let staff: Option<Uuid> = sqlx::query_scalar(look).fetch_optional(conn).await?;
            fields.insert("reported_by".to_owned(), staff.map(|id| id.to_string()).into());
        }
        Ok(())
    }
}
